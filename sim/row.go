package sim

// Row is the result of one cell of a sweep: one policy, one pool, one trace. All
// formats use the same names in the same order. Nil is unknown, never 0. Counts are
// exact; late hits, stalls and tokens per second come from the time model: modeled.
type Row struct {
	Trace         string   `json:"trace"`
	Policy        string   `json:"policy"` // with its parameters
	Slots         int      `json:"slots"`
	SlotsFraction float64  `json:"slots_fraction"` // of the bank's experts
	Flat          bool     `json:"flat"`           // single accesses instead of groups
	Seed          uint64   `json:"seed"`
	Accesses      int64    `json:"accesses"`
	Hits          int64    `json:"hits"`
	Misses        int64    `json:"misses"`
	HitRate       float64  `json:"hit_rate"`
	LateHits      *int64   `json:"late_hits"`
	Uploads       int64    `json:"uploads"`
	UploadBytes   *int64   `json:"upload_bytes"`
	StallMs       *float64 `json:"stall_ms"` // mean of a step
	TokensPerS    *float64 `json:"tokens_per_s"`
	LimitBy       *string  `json:"limit_by"` // memory, compute or link
}
