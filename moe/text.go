package moe

import (
	"context"

	"ufm/pager"
)

// DenseKind names a weight outside the experts.
type DenseKind uint8

// The dense weights. Matrices are (out, in) row-major; the others are vectors.
const (
	Embedding       DenseKind = iota // (vocab, d_model)
	AttentionNorm                    // (d_model), before attention
	Query                            // (heads × head_dim, d_model)
	Key                              // (kv_heads × head_dim, d_model)
	Value                            // (kv_heads × head_dim, d_model)
	QueryNorm                        // Qwen3: (head_dim); OLMoE: (heads × head_dim); else absent
	KeyNorm                          // Qwen3: (head_dim); OLMoE: (kv_heads × head_dim); else absent
	AttentionOutput                  // (d_model, heads × head_dim)
	MoENorm                          // (d_model), before the MoE layer
	FinalNorm                        // (d_model)
	Head                             // (vocab, d_model); with tied embeddings the embedding
)

// TextModel is a Model with everything around its experts. Its methods may be called
// concurrently.
type TextModel interface {
	Model
	Config() Config
	// Dense returns a weight's values in natural order; layer counts only for weights
	// of a layer. A weight that the model does not have is nil.
	Dense(kind DenseKind, layer int) ([]float32, error)
	// DenseDType is the type that the matrices are stored in. The vectors, of any type,
	// are there as float32 only.
	DenseDType() DType
	// FillDense writes a matrix as it is stored to dst, which must have its size:
	// (out, in) row-major, little-endian, no value converted.
	FillDense(kind DenseKind, layer int, dst []byte) error
}

// TextConfig is what a TextRunner is made for.
type TextConfig struct {
	Run      RunConfig // Mode is Baseline or UFM; MaxTokens is the most tokens of a batch
	Context  int       // positions of the KV cache
	Logits   int       // most tokens of a batch whose logits are asked for; 0: one
	Prefetch bool      // upload what the next layer's gate makes of this layer's hidden state
}

// NoPrediction stands in TextBatch.Predicted where nothing predicts: in layer 0.
const NoPrediction = ^uint32(0)

// TextBatch is a piece of the sequence: part of a prompt, or one token.
//
// Slices that are nil are not read or filled; the others must have the length of their
// shape.
type TextBatch struct {
	Step  int
	Phase pager.Phase
	IDs   []int32 // (tokens): appended to the sequence
	// NoPrefetch leaves out, for this batch, what TextConfig.Prefetch asks for.
	NoPrefetch bool
	// Routing (layers, tokens, top_k) replaces the routers' choice; the weights are the
	// softmax of the logits of those chosen, as with Batch.Routing.
	Routing []uint32
	Logits  []float32 // (up to tokens, vocab): those of the batch's last tokens
	Experts []uint32  // (layers, tokens, top_k): what was chosen, in top-k order
	Weights []float32 // (layers, tokens, top_k)
	// Predicted (layers, tokens, top_k) is what a layer's gate made of the hidden state
	// of the layer before it; NoPrediction in layer 0.
	Predicted []uint32
}

// TextRunner runs a whole language model on one sequence. One goroutine may use it at
// a time.
type TextRunner interface {
	// Attach uploads what stays on the device. The bank must be of the model that the
	// runner was made for.
	Attach(ctx context.Context, b Bank) error
	// Forward appends b to the sequence and returns when its results are there. After
	// an error, which may have come half-way, only Reset makes the sequence usable.
	Forward(ctx context.Context, b *TextBatch) (StepTimes, error)
	// Reset empties the sequence; experts stay where they are.
	Reset()
	// Position is the number of tokens of the sequence so far.
	Position() int
	// Stats is a snapshot; uploads cover all transfers since Attach.
	Stats() pager.Stats
	// Moved is the bytes of experts copied so far.
	Moved() int64
	// DeviceBytes is the most device memory taken so far.
	DeviceBytes() int64
	Close() error
}

// TextFollower is the ability of a TextRunner to find the likeliest token itself, and to begin with
// it before the caller has seen it.
type TextFollower interface {
	// Follow appends b, a token that asks for nothing back, and returns the one with the highest
	// logit after it, of equals the first; where a logit is not finite, -1 minus the first such
	// token. Unless next is nil the runner begins with the token returned, by next's Routing.
	// Then the next call should be Follow with next, that id in it, and nothing else changed. If
	// it is another, what was begun is waited for and thrown away.
	//
	// A token that was begun takes, in StepTimes.Wall, from the return of the call before on.
	//
	// Where this runner, or its state, does not allow it, the error is errors.ErrUnsupported, and
	// nothing has happened: Forward does it.
	Follow(ctx context.Context, b, next *TextBatch) (id int32, t StepTimes, err error)
}

// MemoryPart is a line of the memory table.
type MemoryPart struct {
	What  string
	Bytes int64
}

// TextBackend is the ability of a Backend to run whole models.
type TextBackend interface {
	Backend
	// NewTextRunner takes the device memory that cfg needs; where it does not fit the
	// error is a *OutOfMemoryError.
	NewTextRunner(cfg TextConfig, m TextModel) (TextRunner, error)
	// TextMemory lists what the device must hold besides slots: dense weights, KV
	// cache, activations.
	TextMemory(cfg TextConfig, m TextModel) []MemoryPart
}

// DenseShape is a matrix's outputs and inputs, or a vector's length and 1; of a weight
// that the architecture does not have, both are 0.
func (c Config) DenseShape(kind DenseKind) (out, in int) {
	query, key := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	switch kind {
	case Embedding, Head:
		return c.Vocab, c.DModel
	case AttentionNorm, MoENorm, FinalNorm:
		return c.DModel, 1
	case Query:
		return query, c.DModel
	case Key, Value:
		return key, c.DModel
	case AttentionOutput:
		return c.DModel, query
	}
	switch {
	case c.QueryKeyNorm == PerHead:
		return c.HeadDim, 1
	case c.QueryKeyNorm == WholeRow && kind == QueryNorm:
		return query, 1
	case c.QueryKeyNorm == WholeRow && kind == KeyNorm:
		return key, 1
	}
	return 0, 0
}
