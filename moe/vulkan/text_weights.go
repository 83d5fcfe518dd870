//go:build cgo && linux

package vulkan

import (
	"context"
	"encoding/binary"
	"math"
	"runtime"

	"golang.org/x/sync/errgroup"

	"ufm/moe"
	"ufm/vk"
)

// stagingBytes is the size of the pieces that weights are uploaded in.
const stagingBytes = 64 << 20

// upload brings everything around the experts to the device.
func (x *text) upload(ctx context.Context) error {
	s, m := &x.sizes, x.dense
	staging, err := x.device.NewBuffer(vk.HostCached, stagingBytes, "dense weights on their way")
	if err != nil {
		return memoryError(err)
	}
	defer staging.Close()
	up := uploader{x, staging}
	for l := range s.Layers {
		if err := up.matrix(ctx, m.qkv[l], s.d, s.width, l, moe.Query, moe.Key, moe.Value); err != nil {
			return err
		}
		if err := up.matrix(ctx, m.out[l], s.row, s.d, l, moe.AttentionOutput); err != nil {
			return err
		}
	}
	if err := up.matrix(ctx, m.embedding, s.d, s.vocab, 0, moe.Embedding); err != nil {
		return err
	}
	if m.head != m.embedding {
		if err := up.matrix(ctx, m.head, s.d, s.vocab, 0, moe.Head); err != nil {
			return err
		}
	}
	vectors, err := x.vectorValues()
	if err != nil {
		return err
	}
	if err := up.floats(ctx, m.vectors, vectors); err != nil {
		return err
	}
	if err := up.floats(ctx, m.turns, turns(s.context, s.HeadDim, s.RopeTheta)); err != nil {
		return err
	}
	return x.runNow(ctx, func(c *vk.Commands) {
		c.Fill(m.attended, 0, m.attended.Size(), 0) // padding that no kernel writes
		c.Fill(m.peaks, 0, m.peaks.Size(), 0)
		c.Barrier()
	})
}

// uploader copies to the device through one staging buffer.
type uploader struct {
	*text
	staging *vk.Buffer
}

// matrix uploads the matrices of some kinds, side by side, in the layout of moe.Layout: it
// is made of words of 32 bits, one f32 or a pair of inputs in 16 bits, and a row of it has
// a word of every output.
func (u *uploader) matrix(ctx context.Context, dst *vk.Buffer, inputs, outputs, layer int,
	kinds ...moe.DenseKind) error {
	size := u.sizes.dtype.Size()
	columns := make([]column, len(kinds))
	first := 0
	for i, kind := range kinds {
		out, in := u.sizes.DenseShape(kind)
		columns[i] = column{first: first, outputs: out, rowBytes: in * size,
			values: make([]byte, out*in*size)}
		if err := u.model.FillDense(kind, layer, columns[i].values); err != nil {
			return err
		}
		first += out
	}
	rows := inputs * size / 4
	most := max(1, int(u.staging.Size())/(4*outputs))
	for row := 0; row < rows; row += most {
		n := min(most, rows-row)
		piece := u.staging.Bytes()[:4*n*outputs]
		clear(piece) // the padding
		for _, c := range columns {
			if err := c.transpose(piece, row, n, outputs); err != nil {
				return err
			}
		}
		if err := u.copy(ctx, dst, int64(4*row*outputs), len(piece)); err != nil {
			return err
		}
	}
	return nil
}

// copy moves the first n bytes of the staging buffer to dst.
func (u *uploader) copy(ctx context.Context, dst *vk.Buffer, at int64, n int) error {
	return u.runNow(ctx, func(c *vk.Commands) {
		c.Copy(dst, at, u.staging, 0, int64(n))
		c.Barrier()
	})
}

// floats uploads float32 values to the start of dst.
func (u *uploader) floats(ctx context.Context, dst *vk.Buffer, values []float32) error {
	most := int(u.staging.Size()) / 4
	for first := 0; first < len(values); first += most {
		n := copy(u.staging.Floats(), values[first:])
		if err := u.copy(ctx, dst, int64(4*first), 4*n); err != nil {
			return err
		}
	}
	return nil
}

// column is a matrix in natural order that becomes some columns of another.
type column struct {
	values   []byte // (outputs, rowBytes)
	first    int    // of the columns
	outputs  int
	rowBytes int
}

// transposeWords is how many words of a row are moved at a time: a cache line of it.
const transposeWords = 16

// transpose writes n rows of words from row on to dst, whose rows have so many columns, all
// cores at once.
func (m *column) transpose(dst []byte, row, n, columns int) error {
	var work errgroup.Group
	work.SetLimit(runtime.GOMAXPROCS(0))
	for first := 0; first < n; first += transposeWords {
		work.Go(func() error {
			for o := range m.outputs {
				values := m.values[o*m.rowBytes:][:m.rowBytes]
				for j := first; j < min(first+transposeWords, n); j++ {
					binary.LittleEndian.PutUint32(dst[4*(j*columns+m.first+o):], word(values, row+j))
				}
			}
			return nil
		})
	}
	return work.Wait()
}

// word is word j of a row, zero where the row has ended.
func word(row []byte, j int) uint32 {
	switch left := len(row) - 4*j; {
	case left >= 4:
		return binary.LittleEndian.Uint32(row[4*j:])
	case left == 2: // an odd number of inputs of 16 bits
		return uint32(binary.LittleEndian.Uint16(row[4*j:]))
	}
	return 0
}

// vectorValues gathers the norms of all layers, and the final one behind them.
func (x *text) vectorValues() ([]float32, error) {
	list, each := x.sizes.vectorsOf()
	values := make([]float32, x.sizes.vectorBytes()/4)
	for l := range x.sizes.Layers {
		for _, v := range list {
			w, err := x.model.Dense(v.kind, l)
			if err != nil {
				return nil, err
			}
			copy(values[l*each+v.at:][:v.n], w)
		}
	}
	w, err := x.model.Dense(moe.FinalNorm, 0)
	copy(values[x.sizes.Layers*each:], w)
	return values, err
}

// turns are cosine and sine of every position's angles: (context, dim/2, 2). They come from
// float64, since devices promise little about the sine of a large angle.
func turns(context, dim int, theta float64) []float32 {
	t := make([]float32, 0, context*dim)
	for p := range context {
		for i := range dim / 2 {
			sin, cos := math.Sincos(float64(p) * math.Pow(theta, -2*float64(i)/float64(dim)))
			t = append(t, float32(cos), float32(sin))
		}
	}
	return t
}
