// Package hardware holds the measured ceilings of a device: what every run is
// compared with, and what the simulator's clock runs on.
package hardware

// Ceilings are the rates that one device reached when it was measured.
type Ceilings struct {
	Schema      int     `json:"schema"`
	Backend     string  `json:"backend"`
	Device      string  `json:"device"`
	Driver      string  `json:"driver"`
	TimeUTC     string  `json:"time_utc"`
	ReadGBs     float64 `json:"read_gb_s"`      // device memory read by compute, 1e9 bytes a second
	LinkGBs     float64 `json:"link_gb_s"`      // host to device
	LinkBackGBs float64 `json:"link_back_gb_s"` // device to host; 0: not measured
	F32TFlops   float64 `json:"f32_tflops"`     // float32 fused multiply-adds, counted as two

	Timing  *Timing           `json:"timing,omitempty"`  // nil: not measured
	Sources map[string]string `json:"sources,omitempty"` // of a shipped profile's figures
}
