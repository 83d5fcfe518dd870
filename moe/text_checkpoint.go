package moe

import (
	"errors"
	"fmt"
	"io/fs"
)

// TextCheckpoint is a Checkpoint together with the weights around its experts. It
// implements TextModel.
type TextCheckpoint struct {
	*Checkpoint
	dense [Head + 1][]weight // by kind, then by layer; of the whole model's, one
}

// denseNames are what the three families call their dense weights. A name with a verb
// is that of a layer.
var denseNames = [Head + 1]string{
	Embedding:       "model.embed_tokens",
	AttentionNorm:   "model.layers.%d.input_layernorm",
	Query:           "model.layers.%d.self_attn.q_proj",
	Key:             "model.layers.%d.self_attn.k_proj",
	Value:           "model.layers.%d.self_attn.v_proj",
	QueryNorm:       "model.layers.%d.self_attn.q_norm",
	KeyNorm:         "model.layers.%d.self_attn.k_norm",
	AttentionOutput: "model.layers.%d.self_attn.o_proj",
	MoENorm:         "model.layers.%d.post_attention_layernorm",
	FinalNorm:       "model.norm",
	Head:            "lm_head",
}

// PerLayer tells a weight of each layer from one of the whole model.
func (k DenseKind) PerLayer() bool { return k != Embedding && k != FinalNorm && k != Head }

// tensor is the weight's name in a checkpoint.
func (k DenseKind) tensor(layer int) string {
	if k.PerLayer() {
		return fmt.Sprintf(denseNames[k], layer) + ".weight"
	}
	return denseNames[k] + ".weight"
}

// OpenText opens a checkpoint as OpenCheckpoint does, and checks the weights outside
// its experts too.
func OpenText(fsys fs.FS, name string) (*TextCheckpoint, error) {
	c, err := OpenCheckpoint(fsys, name)
	if err != nil {
		return nil, err
	}
	t := &TextCheckpoint{Checkpoint: c}
	if err := t.find(); err != nil {
		return nil, fmt.Errorf("moe: checkpoint %s: %w", name, errors.Join(err, c.Close()))
	}
	return t, nil
}

// find looks up every dense weight that the config asks for.
func (c *TextCheckpoint) find() error {
	if c.config.HeadDim%2 != 0 {
		return fmt.Errorf("%s: head_dim %d is odd, but rotary positions turn pairs",
			configFile, c.config.HeadDim)
	}
	for kind := range Head + 1 {
		layers := 1
		if kind.PerLayer() {
			layers = c.config.Layers
		}
		if kind == Head && c.config.TiedEmbeddings {
			c.dense[Head] = c.dense[Embedding]
			continue
		}
		for l := range layers {
			if err := c.findDense(kind, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// findDense looks up one weight. The matrices must be stored alike: the device has one
// kernel for all.
func (c *TextCheckpoint) findDense(kind DenseKind, layer int) error {
	out, in := c.config.DenseShape(kind)
	if out == 0 {
		return nil
	}
	find := c.shards.weight
	if in == 1 {
		find = c.shards.vector
	}
	w, err := find(kind.tensor(layer), out, in)
	if err != nil {
		return err
	}
	c.dense[kind] = append(c.dense[kind], w)
	if first := c.dense[Embedding][0]; in > 1 && w.dtype != first.dtype {
		return fmt.Errorf("%s: tensor %q is stored as %s, %q as %s: "+
			"all matrices outside the experts must be stored alike",
			w.file.Name(), w.tensor, w.dtype, first.tensor, first.dtype)
	}
	return nil
}

// Dense returns a weight's values in natural order, or nil where there is none.
func (c *TextCheckpoint) Dense(kind DenseKind, layer int) ([]float32, error) {
	w, err := c.weight(kind, layer)
	if w == nil || err != nil {
		return nil, c.wrap(err)
	}
	v, err := w.values()
	return v, c.wrap(err)
}

// DenseDType is the type that the matrices outside the experts are stored in.
func (c *TextCheckpoint) DenseDType() DType { return c.dense[Embedding][0].dtype }

// FillDense reads a matrix as it is stored.
func (c *TextCheckpoint) FillDense(kind DenseKind, layer int, dst []byte) error {
	w, err := c.weight(kind, layer)
	if err != nil {
		return c.wrap(err)
	}
	if w == nil {
		return c.wrap(fmt.Errorf("the model has no %s", kind.tensor(layer)))
	}
	return c.wrap(w.raw(dst))
}

// weight returns nil for a weight that the architecture does not have.
func (c *TextCheckpoint) weight(kind DenseKind, layer int) (*weight, error) {
	if kind > Head {
		return nil, fmt.Errorf("unknown dense weight %d", kind)
	}
	if !kind.PerLayer() {
		layer = 0
	}
	if len(c.dense[kind]) == 0 {
		return nil, nil
	}
	if layer < 0 || layer >= len(c.dense[kind]) {
		return nil, fmt.Errorf("no layer %d of %d", layer, len(c.dense[kind]))
	}
	return &c.dense[kind][layer], nil
}

var _ TextModel = (*TextCheckpoint)(nil)
