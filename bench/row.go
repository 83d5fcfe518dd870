package bench

// RowSchema is the version of Row. It changes when a name is taken away or changes
// its meaning, not when one is added.
const RowSchema = 1

// Status tells how a cell ended.
type Status string

// The statuses. Whatever happens to a cell, it stays a row.
const (
	StatusOK      Status = "ok"
	StatusOOM     Status = "oom"     // device memory did not suffice
	StatusSkipped Status = "skipped" // not tried, for a reason that error tells
	StatusTimeout Status = "timeout"
	StatusCrashed Status = "crashed"
	StatusLost    Status = "lost" // the device was lost
	StatusError   Status = "error"
)

// Row is the result of one cell: one mode of one model on one device. JSON, JSON
// Lines and CSV use the same names in the same order. Nil is unknown, or does not
// apply; it is never written as 0.
type Row struct {
	Schema  int     `json:"schema"`
	RunID   string  `json:"run_id"`
	TimeUTC string  `json:"time_utc"`
	Commit  *string `json:"commit"`
	Mode    string  `json:"mode"`
	Backend string  `json:"backend"`
	Device  string  `json:"device"`
	Driver  string  `json:"driver"`
	Status  Status  `json:"status"`
	Error   *string `json:"error"`

	// What was asked.
	Model   string  `json:"model"`
	Layers  int     `json:"layers"`
	Experts int     `json:"experts"`
	DModel  int     `json:"d_model"`
	DHidden int     `json:"d_hidden"`
	TopK    int     `json:"top_k"`
	Form    string  `json:"form"`
	DType   string  `json:"dtype"`
	Routing string  `json:"routing"`
	Tokens  int     `json:"tokens"` // of a step
	Steps   *int    `json:"steps"`  // measured
	Seed    uint64  `json:"seed"`
	Policy  *string `json:"policy"`
	Phase   string  `json:"phase"`

	// What took effect. budget_bytes is what the slots take; for naive, which has one
	// slot, it is the budget that belady_uploads is counted for.
	BankBytes       int64  `json:"bank_bytes"`
	BudgetBytes     int64  `json:"budget_bytes"`
	Slots           int    `json:"slots"`
	PeakDeviceBytes *int64 `json:"peak_device_bytes"`
	NVMLBytes       *int64 `json:"nvml_bytes"`
	HostBytes       *int64 `json:"host_bytes"`

	// Counted over the measured window; submits and waits are means of a step.
	Hits           *int64   `json:"hits"`
	LateHits       *int64   `json:"late_hits"`
	Misses         *int64   `json:"misses"`
	Uploads        *int64   `json:"uploads"`
	UploadBytes    *int64   `json:"upload_bytes"`
	BeladyUploads  *int64   `json:"belady_uploads"`
	Prefetches     *int64   `json:"prefetches"`
	PrefetchUsed   *int64   `json:"prefetch_used"`
	PrefetchWasted *int64   `json:"prefetch_wasted"`
	Submits        *float64 `json:"submits"`
	Waits          *float64 `json:"waits"`

	// Times of a step; compute, upload and stall are means. link_gb_s and read_gb_s are
	// the rates reached while the link and the compute queue were at work.
	StepMsMedian *float64 `json:"step_ms_median"`
	StepMsP10    *float64 `json:"step_ms_p10"`
	StepMsP90    *float64 `json:"step_ms_p90"`
	StepMsMean   *float64 `json:"step_ms_mean"`
	TokensPerS   *float64 `json:"tokens_per_s"` // tokens / step_ms_median
	ComputeMs    *float64 `json:"compute_ms"`
	UploadMs     *float64 `json:"upload_ms"`
	StallMs      *float64 `json:"stall_ms"`
	LinkGBs      *float64 `json:"link_gb_s"`
	ReadGBs      *float64 `json:"read_gb_s"`

	// The limit of a step, a mean as step_ms_mean is, and how near to it the cell came.
	LimitMs       *float64 `json:"limit_ms"`
	LimitBy       *string  `json:"limit_by"` // memory, compute or link
	LimitFraction *float64 `json:"limit_fraction"`
	LinkFraction  *float64 `json:"link_fraction"`
	ChainMs       *float64 `json:"chain_ms"`

	// Against a reference, where one was asked for: the worst layer.
	NMSE      *float64 `json:"nmse"`
	MaxAbsErr *float64 `json:"max_abs_err"`

	// Of a modeled row: its step_ms_median over the measured one, less 1.
	ModelErrorFraction *float64 `json:"model_error_fraction"`

	Kind string `json:"kind"` // of the figures
}

// The kinds of figures. A table has one kind of row.
const (
	Measured = "measured"
	Modeled  = "modeled" // by the simulator's clock
)
