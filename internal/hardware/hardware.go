// Package hardware holds the measured ceilings of a device: what every run is
// compared with, and what the simulator's clock runs on.
package hardware

// Ceilings are the rates that one device reached when it was measured. A short
// measurement knows only those that limits are made of: read, link and arithmetic; ufm info
// --measure fills in the rest. 0 and "" were not measured or do not apply.
type Ceilings struct {
	Schema      int     `json:"schema"`
	Backend     string  `json:"backend"`
	Device      string  `json:"device"`
	Driver      string  `json:"driver"`
	TimeUTC     string  `json:"time_utc"`
	ReadGBs     float64 `json:"read_gb_s"`      // device memory read by compute, 1e9 bytes a second
	LinkGBs     float64 `json:"link_gb_s"`      // host to device
	LinkBackGBs float64 `json:"link_back_gb_s"` // device to host
	F32TFlops   float64 `json:"f32_tflops"`     // float32 fused multiply-adds, counted as two

	// Products of cooperative matrices, of 16-bit operands into float32 sums.
	BF16TFlops float64 `json:"bf16_tflops,omitempty"`
	F16TFlops  float64 `json:"f16_tflops,omitempty"`

	CopyGBs       float64    `json:"copy_gb_s,omitempty"`       // within device memory; each byte counts once
	Link          []LinkRate `json:"link,omitempty"`            // ascending by Bytes
	CopyLatencyUs float64    `json:"copy_latency_us,omitempty"` // of one more copy in a batch
	SubmitWaitUs  float64    `json:"submit_wait_us,omitempty"`  // an empty submission, to its known end
	BarrierUs     float64    `json:"barrier_us,omitempty"`      // between two dispatches
	// CopyWaitUs is from the end of the compute that frees a slot to the beginning of the copy
	// into it, which waits on another queue. 0: not measured, or they share a queue.
	CopyWaitUs float64    `json:"copy_wait_us,omitempty"`
	Host       *HostCosts `json:"host,omitempty"`

	// AllocateSPerGiB is what the driver takes to allocate host memory that copy engines read.
	AllocateSPerGiB float64 `json:"allocate_s_per_gib,omitempty"`
	// Uploads straight from memory that the driver did not allocate.
	ImportAnonymous Import `json:"import_anonymous,omitzero"`
	ImportFile      Import `json:"import_file,omitzero"`
	// OverAllocation tells what happens to device memory that is not there: the
	// allocation "fails", or it "spills" into host memory.
	OverAllocation string `json:"over_allocation,omitempty"`

	Timing  *Timing           `json:"timing,omitempty"`
	Sources map[string]string `json:"sources,omitempty"` // of a shipped profile's figures

	// Cramped tells that there was too little memory to see past the device's caches:
	// good enough for the run that left so little, but not kept.
	Cramped bool `json:"-"`
}

// LinkRate is how fast the link moves copies of one size, many in a batch, in 1e9 bytes
// a second.
type LinkRate struct {
	Bytes int64 `json:"bytes"` // of each copy
	// To the device on all transfer queues, on one, and both while compute reads device memory.
	UpGBs           float64 `json:"up_gb_s"`
	OneQueueGBs     float64 `json:"one_queue_gb_s"`
	BusyGBs         float64 `json:"busy_gb_s,omitempty"`
	OneQueueBusyGBs float64 `json:"one_queue_busy_gb_s,omitempty"`
	// To the host, likewise.
	DownGBs             float64 `json:"down_gb_s"`
	DownOneQueueGBs     float64 `json:"down_one_queue_gb_s,omitempty"`
	DownBusyGBs         float64 `json:"down_busy_gb_s,omitempty"`
	DownOneQueueBusyGBs float64 `json:"down_one_queue_busy_gb_s,omitempty"`
}

// HostCosts are what the host takes for the layers of a step, in microseconds.
type HostCosts struct {
	// LayerUs is the whole turn for a layer of a step that pages, with nothing missing: from
	// the device's end of what went before, through the wait, the pager's decision and the
	// recording, to the device's next beginning. 0: not known.
	LayerUs float64 `json:"layer_us"`
	// ResidentUs is recording a layer of a step with the whole bank resident, and telling the
	// pager afterwards.
	ResidentUs float64 `json:"resident_us"`
	// Recording one more upload of a group, with one expert, and submitting it with the
	// others; one more expert of an upload; and likewise one more compute.
	UploadUs  float64 `json:"upload_us"`
	CopyUs    float64 `json:"copy_us"`
	ComputeUs float64 `json:"compute_us"`
}

// MatrixTFlops is the faster rate of the matrix units with 16-bit operands, 0 where none is
// known.
func (c *Ceilings) MatrixTFlops() float64 { return max(c.BF16TFlops, c.F16TFlops) }

// Import is an upload from imported memory: its rate, or why there is none.
type Import struct {
	GBs     float64 `json:"gb_s,omitempty"`
	SPerGiB float64 `json:"s_per_gib,omitempty"` // that the import itself takes
	Refused string  `json:"refused,omitempty"`
}
