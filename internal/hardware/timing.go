package hardware

// Timing is what a time model needs besides the ceilings: how fast the backend's own
// kernels are, which stay below what the device could do. It is measured by running
// them with everything resident.
type Timing struct {
	Copies Copies `json:"copies"`
	Cores  int    `json:"cores,omitempty"` // that compute and copies share
	// LayerUs and TokenUs are the device's time for what a layer does besides its
	// experts (router, grouping, combine): of any layer, and more for each token and
	// thousand dimensions of the model.
	LayerUs float64 `json:"layer_us"`
	TokenUs float64 `json:"token_us"`
	// StepUs is the host's time for a step beyond the device's.
	StepUs float64 `json:"step_us"`
	// GateUs is the router's part of TokenUs for each expert of a layer: TokenUs is of
	// layers with TimedExperts. 0: unknown.
	GateUs float64 `json:"gate_us,omitempty"`
	// ChoiceUs is more for each expert of a token beyond its first, and thousand
	// dimensions: gathering its row and adding its result. TokenUs has the first one.
	ChoiceUs float64      `json:"choice_us,omitempty"`
	Experts  []ExpertRate `json:"experts"`
	// BankBytes are those of the experts that the kernels were measured on, of which each
	// step had others. 0: each had the same, which may have lain in caches.
	BankBytes int64 `json:"bank_bytes,omitempty"`
}

// TimedExperts is how many experts the layers have that TokenUs is measured on.
const TimedExperts = 64

// Copies tells what runs uploads.
type Copies string

// The ways to copy.
const (
	// ByQueues: transfer queues of their own, beside the compute queue.
	ByQueues Copies = "queues"
	// InTurn: the compute queue itself, in turn with its kernels.
	InTurn Copies = "in turn"
	// ByCores: a thread that takes its time from the cores that compute.
	ByCores Copies = "cores"
)

// ExpertRate is the speed of the expert kernels at a number of rows an expert, in 1e9
// bytes of weights a second.
type ExpertRate struct {
	DType  string  `json:"dtype"`
	Rows   float64 `json:"rows"`
	GBs    float64 `json:"gb_s"`     // many experts in one dispatch
	OneGBs float64 `json:"one_gb_s"` // a single expert in it; 0: as with many
	// Where cores copy: the part of their speed that kernels keep while a thread copies, and
	// the part that the copy keeps. 0: each thread has an equal share of the cores.
	Beside     float64 `json:"beside,omitempty"`
	CopyBeside float64 `json:"copy_beside,omitempty"`
}
