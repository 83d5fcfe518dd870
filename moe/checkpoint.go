package moe

import (
	"errors"
	"fmt"
	"io/fs"

	"ufm/pager"
)

// Checkpoint is a trained model in Hugging Face's directory format. It implements
// Model. Its weights stay in its files until they are asked for.
type Checkpoint struct {
	name    string
	config  Config
	shape   Shape
	layout  Layout
	shards  *shards
	gates   []weight        // by layer: (experts, d_model)
	experts []expertWeights // by expert id
}

// expertWeights are where one expert's matrices are stored.
type expertWeights struct {
	gate weight // (d_hidden, d_model)
	up   weight // (d_hidden, d_model)
	down weight // (d_model, d_hidden)
}

// OpenCheckpoint opens the checkpoint whose config.json is at the top of fsys, for
// example os.DirFS(dir); files of fsys must implement io.ReaderAt. The config, the
// headers of all weight files and every tensor that the MoE layers need are checked
// before any weight is read. name is what results call the model.
func OpenCheckpoint(fsys fs.FS, name string) (*Checkpoint, error) {
	c := &Checkpoint{name: name}
	if err := c.open(fsys); err != nil {
		return nil, fmt.Errorf("moe: checkpoint %s: %w", name, errors.Join(err, c.Close()))
	}
	return c, nil
}

func (c *Checkpoint) open(fsys fs.FS) error {
	text, err := fs.ReadFile(fsys, configFile)
	if err != nil {
		return fmt.Errorf("%w (a checkpoint is a directory with %s and *.safetensors)",
			err, configFile)
	}
	var fam *family
	if c.config, fam, err = parseConfig(text); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	if c.shards, err = openShards(fsys); err != nil {
		return err
	}
	return c.find(fam)
}

// find looks up the tensors of all MoE layers. It takes them one by one, so that a
// config that claims billions of experts fails at the first that is not there.
func (c *Checkpoint) find(fam *family) error {
	for l := range c.config.Layers {
		layer := fmt.Sprintf("model.layers.%d.%s", l, fam.block)
		gate, err := c.shards.weight(layer+".gate.weight", c.config.Experts, c.config.DModel)
		if err != nil {
			return err
		}
		c.gates = append(c.gates, gate)
		for i := range c.config.Experts {
			e, err := c.findExpert(fam, fmt.Sprintf("%s.experts.%d", layer, i))
			if err != nil {
				return err
			}
			c.experts = append(c.experts, e)
		}
	}
	c.shape = c.config.Shape(c.experts[0].gate.dtype)
	c.layout = NewLayout(c.shape)
	return nil
}

// findExpert looks up one expert's matrices, which must be stored as the first
// expert's are: the device has one kernel for all.
func (c *Checkpoint) findExpert(fam *family, prefix string) (e expertWeights, err error) {
	hidden, model := c.config.DHidden, c.config.DModel
	for _, m := range []struct {
		dst        *weight
		name       string
		rows, cols int
	}{
		{&e.gate, fam.gate, hidden, model},
		{&e.up, fam.up, hidden, model},
		{&e.down, fam.down, model, hidden},
	} {
		*m.dst, err = c.shards.weight(prefix+"."+m.name+".weight", m.rows, m.cols)
		if err != nil {
			return e, err
		}
		first := e.gate
		if len(c.experts) > 0 {
			first = c.experts[0].gate
		}
		if m.dst.dtype != first.dtype {
			return e, fmt.Errorf("%s: tensor %q is stored as %s, %q as %s: "+
				"all experts must be stored alike",
				m.dst.file.Name(), m.dst.tensor, m.dst.dtype, first.tensor, first.dtype)
		}
	}
	return e, nil
}

// Name is the name that the checkpoint was opened with.
func (c *Checkpoint) Name() string { return c.name }

// Config is the checked content of config.json.
func (c *Checkpoint) Config() Config { return c.config }

// Shape is the shape of the MoE layers; its dtype is that of the stored experts.
func (c *Checkpoint) Shape() Shape { return c.shape }

// FillExpert writes expert e in the kernel layout to dst, straight from the stored
// bytes: no value is converted.
func (c *Checkpoint) FillExpert(e pager.ExpertID, dst []byte) error {
	w, err := c.expert(e)
	if err != nil {
		return err
	}
	if int64(len(dst)) != c.layout.Bytes {
		return fmt.Errorf("moe: checkpoint %s: expert %d has %d bytes, the buffer %d",
			c.name, e, c.layout.Bytes, len(dst))
	}
	err = errors.Join(
		w.gate.transpose(dst[c.layout.Gate:], c.layout.Hidden),
		w.up.transpose(dst[c.layout.Up:], c.layout.Hidden),
		w.down.transpose(dst[c.layout.Down:], c.layout.In))
	return c.wrap(err)
}

// Expert returns expert e's matrices in their natural order.
func (c *Checkpoint) Expert(e pager.ExpertID) (Matrices, error) {
	w, err := c.expert(e)
	if err != nil {
		return Matrices{}, err
	}
	var m Matrices
	var errs [3]error
	m.Gate, errs[0] = w.gate.values()
	m.Up, errs[1] = w.up.values()
	m.Down, errs[2] = w.down.values()
	return m, c.wrap(errors.Join(errs[:]...))
}

// Router returns the gate weights of a layer.
func (c *Checkpoint) Router(layer int) ([]float32, error) { // (experts, d_model)
	if layer < 0 || layer >= len(c.gates) {
		return nil, fmt.Errorf("moe: checkpoint %s: no layer %d of %d", c.name, layer, len(c.gates))
	}
	v, err := c.gates[layer].values()
	return v, c.wrap(err)
}

// Close closes the weight files. It may be called again.
func (c *Checkpoint) Close() error {
	if c.shards == nil {
		return nil
	}
	return c.shards.close()
}

func (c *Checkpoint) expert(e pager.ExpertID) (expertWeights, error) {
	if int64(e) >= int64(len(c.experts)) {
		return expertWeights{}, fmt.Errorf("moe: checkpoint %s: no expert %d of %d",
			c.name, e, len(c.experts))
	}
	return c.experts[e], nil
}

func (c *Checkpoint) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("moe: checkpoint %s: %w", c.name, err)
}

var _ Model = (*Checkpoint)(nil)
