package moe

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"ufm/internal/safetensors"
	"ufm/pager"
)

// WriteCheckpoint writes m to the folder dir as a checkpoint that OpenText reads, and
// others too: config.json and weight files of up to about 4 GiB. Matrices are written
// as they are stored, routers and norms as float32. A few tensors at a time are in
// memory. progress may be nil and may be called from several goroutines.
//
// The folder is made where it is missing and must hold no checkpoint. config.json comes
// last; if something fails, what was written is removed.
func WriteCheckpoint(ctx context.Context, m TextModel, dir string,
	progress func(doneBytes int64)) error {
	w := &checkpointWriter{ctx: ctx, model: m, dir: dir, most: 4 << 30, progress: progress}
	err := w.write()
	if err != nil {
		for _, name := range w.made {
			os.Remove(filepath.Join(dir, name))
		}
		return fmt.Errorf("moe: write checkpoint %s: %w", dir, err)
	}
	return nil
}

type checkpointWriter struct {
	ctx      context.Context
	model    TextModel
	dir      string
	most     int64 // bytes of a weight file, unless a layer has more
	progress func(int64)
	done     atomic.Int64
	made     []string // files
}

// source is a tensor that is yet to be made.
type source struct {
	data safetensors.Data
	fill func() ([]byte, error)
}

func (w *checkpointWriter) write() error {
	c := w.model.Config()
	fam := familyOf(c.Architecture)
	if fam == nil {
		return fmt.Errorf("unknown architecture %q", c.Architecture)
	}
	if err := os.MkdirAll(w.dir, 0o755); err != nil {
		return err
	}
	for _, pattern := range []string{configFile, "*.safetensors", indexFile} {
		if found, _ := filepath.Glob(filepath.Join(w.dir, pattern)); len(found) > 0 {
			return fmt.Errorf("%s is there already: choose an empty folder", filepath.Base(found[0]))
		}
	}
	if err := w.writeShards(w.shards(fam)); err != nil {
		return err
	}
	return w.writeJSON(configFile, c.fields(fam, w.model.DenseDType()))
}

// shards lists all tensors by file: whole layers, as many as fit.
func (w *checkpointWriter) shards(fam *family) [][]source {
	c := w.model.Config()
	first := []source{w.dense(Embedding, 0), w.dense(FinalNorm, 0)}
	if !c.TiedEmbeddings {
		first = append(first, w.dense(Head, 0))
	}
	shards, size := [][]source{first}, sizeOfSources(first)
	for l := range c.Layers {
		layer := w.layer(fam, l)
		bytes := sizeOfSources(layer)
		if size > 0 && size+bytes > w.most {
			shards, size = append(shards, nil), 0
		}
		last := len(shards) - 1
		shards[last] = append(shards[last], layer...)
		size += bytes
	}
	return shards
}

// sizeOfSources is about what tensors take in a file.
func sizeOfSources(tensors []source) (bytes int64) {
	for _, t := range tensors {
		n := int64(4)
		if t.data.DType != "F32" {
			n = 2
		}
		for _, d := range t.data.Shape {
			n *= d
		}
		bytes += n
	}
	return bytes
}

// layer lists the tensors of one layer.
func (w *checkpointWriter) layer(fam *family, l int) []source {
	var all []source
	for kind := range Head + 1 {
		if out, _ := w.model.Config().DenseShape(kind); out > 0 && kind.PerLayer() {
			all = append(all, w.dense(kind, l))
		}
	}
	s := w.model.Shape()
	block := fmt.Sprintf("model.layers.%d.%s", l, fam.block)
	all = append(all, floats(block+".gate.weight", F32, []int{s.Experts, s.DModel},
		func() ([]float32, error) { return w.model.Router(l) }))
	for i := range s.Experts {
		all = append(all, w.expert(fam, fmt.Sprintf("%s.experts.%d.", block, i), s.Paging().ID(l, i))...)
	}
	return all
}

// dense is a weight outside the experts.
func (w *checkpointWriter) dense(kind DenseKind, layer int) source {
	out, in := w.model.Config().DenseShape(kind)
	if in == 1 {
		return floats(kind.tensor(layer), F32, []int{out},
			func() ([]float32, error) { return w.model.Dense(kind, layer) })
	}
	t := w.model.DenseDType()
	return source{tensorData(kind.tensor(layer), t, []int{out, in}), func() ([]byte, error) {
		raw := make([]byte, out*in*t.Size())
		return raw, w.model.FillDense(kind, layer, raw)
	}}
}

// expert lists one expert's matrices, which are made together when the first of them is
// asked for, and given up after the last.
func (w *checkpointWriter) expert(fam *family, prefix string, e pager.ExpertID) []source {
	s := w.model.Shape()
	var made Matrices
	asked := 0
	part := func(name string, shape []int, choose func() []float32) source {
		return floats(prefix+name+".weight", s.DType, shape, func() (v []float32, err error) {
			if asked == 0 {
				made, err = w.model.Expert(e)
			}
			v = choose()
			if asked++; asked == 3 {
				made = Matrices{}
			}
			return v, err
		})
	}
	return []source{
		part(fam.gate, []int{s.DHidden, s.DModel}, func() []float32 { return made.Gate }),
		part(fam.up, []int{s.DHidden, s.DModel}, func() []float32 { return made.Up }),
		part(fam.down, []int{s.DModel, s.DHidden}, func() []float32 { return made.Down }),
	}
}

// floats is a tensor whose values come as float32 and are stored as t.
func floats(name string, t DType, shape []int, values func() ([]float32, error)) source {
	return source{tensorData(name, t, shape), func() ([]byte, error) {
		v, err := values()
		if err != nil {
			return nil, err
		}
		raw := make([]byte, len(v)*t.Size())
		encode(raw, v, t)
		return raw, nil
	}}
}

func tensorData(name string, t DType, shape []int) safetensors.Data {
	d := safetensors.Data{Name: name, DType: [...]string{F32: "F32", F16: "F16", BF16: "BF16"}[t]}
	for _, n := range shape {
		d.Shape = append(d.Shape, int64(n))
	}
	return d
}

// encode writes values as t stores them.
func encode(dst []byte, values []float32, t DType) {
	le := binary.LittleEndian
	for i, v := range values {
		switch t {
		case F32:
			le.PutUint32(dst[4*i:], math.Float32bits(v))
		case F16:
			le.PutUint16(dst[2*i:], uint16(roundF16(v)))
		case BF16:
			le.PutUint16(dst[2*i:], uint16(roundBF16(v)))
		}
	}
}

// writeShards writes weight files, a few at a time, and their index if there are several.
func (w *checkpointWriter) writeShards(shards [][]source) error {
	index := struct {
		Metadata map[string]int64  `json:"metadata"`
		Files    map[string]string `json:"weight_map"`
	}{map[string]int64{}, map[string]string{}}
	work, ctx := errgroup.WithContext(w.ctx)
	work.SetLimit(4)
	for i, tensors := range shards {
		name := singleFile
		if len(shards) > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		}
		w.made = append(w.made, name)
		index.Metadata["total_size"] += sizeOfSources(tensors)
		for _, t := range tensors {
			index.Files[t.data.Name] = name
		}
		work.Go(func() error { return w.writeShard(ctx, name, tensors) })
	}
	if err := work.Wait(); err != nil || len(shards) == 1 {
		return err
	}
	return w.writeJSON(indexFile, index)
}

func (w *checkpointWriter) writeShard(ctx context.Context, name string, tensors []source) error {
	file, err := os.OpenFile(filepath.Join(w.dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	fills, list := map[string]func() ([]byte, error){}, []safetensors.Data{}
	for _, t := range tensors {
		fills[t.data.Name] = t.fill
		list = append(list, t.data)
	}
	buffer := bufio.NewWriterSize(file, 1<<20)
	metadata := map[string]string{"format": "pt"}
	err = safetensors.WriteEach(buffer, metadata, list, func(t safetensors.Data) ([]byte, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		raw, err := fills[t.Name]()
		if done := w.done.Add(int64(len(raw))); w.progress != nil {
			w.progress(done)
		}
		return raw, err
	})
	return errors.Join(err, buffer.Flush(), file.Close())
}

func (w *checkpointWriter) writeJSON(name string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	w.made = append(w.made, name)
	return os.WriteFile(filepath.Join(w.dir, name), append(text, '\n'), 0o644)
}
