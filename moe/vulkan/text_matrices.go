//go:build cgo && linux

package vulkan

import (
	"encoding/binary"

	"ufm/moe"
	"ufm/vk"
)

// The dense products of many tokens run on the matrix units, where a device has them: to
// matrix.comp such a product is that of an expert which every token has chosen.

// minMatrixRows is the least number of rows that go there: fewer are a tile or two of dense.comp.
const minMatrixRows = 17

// noToken fills up a quad of rows; as in the shaders.
const noToken = ^uint32(0)

// matrixTiling is that of experts with many rows, or none.
func (s *textSizes) matrixTiling(b *backend) (t tiling) {
	p := newProfile(b.device.Info(), b.matrices, moe.Shape{DType: s.dtype}, true)
	if p.matrices {
		t = p.tiles[len(p.tiles)-1]
	}
	return t
}

// onMatrices reports whether a batch of so many tokens has its products there.
func (x *text) onMatrices(tokens int) bool {
	return x.sizes.matrixRows > 0 && tokens >= minMatrixRows
}

// writeRows lists all tokens in their own order.
func (m *textMemory) writeRows(tokens int) {
	if m.rows == nil {
		return
	}
	rows := m.rows.Words()
	for i := range rows {
		if rows[i] = noToken; i < tokens {
			rows[i] = uint32(i)
		}
	}
}

// writeTokenTiles lists the tiles of the batch under way.
func (x *text) writeTokenTiles() {
	n, each := x.tokens(), x.sizes.matrixRows
	for i := range over(n, each) {
		tile := x.dense.tiles.Bytes()[i*tileBytes:]
		binary.LittleEndian.PutUint64(tile, 0) // the product says where its matrix is
		binary.LittleEndian.PutUint32(tile[8:], uint32(i*each/4))
		binary.LittleEndian.PutUint32(tile[12:], uint32(min(each, n-i*each)))
	}
}

// recordMatrix records the product of all rows of src with a matrix, in one part.
func (x *text) recordMatrix(
	c *vk.Commands, p *product, src *vk.Buffer, dst uint64, weight *vk.Buffer,
) {
	m, n, k := x.dense, x.tokens(), x.runner.kernels
	c.Dispatch(k.gather, pushBytes(pushGather{
		X: src.Address(), Rows: m.rows.Address(), Gathered: m.gathered.Address(), D: uint32(p.inputs),
	}), over(k.gatherItems(p.inputs), gatherThreads), over(n, 4), 1)
	c.DispatchBarrier()
	c.Dispatch(p.pipelines[0], pushBytes(pushExpert{
		Tiles: m.tiles.Address(), Src: m.gathered.Address(), Dst: dst, Weight: weight.Address(),
		Inputs: uint32(p.inputs), Outputs: uint32(p.outputs),
	}), over(p.outputs, p.columns[0]), over(n, x.sizes.matrixRows), 1)
}
