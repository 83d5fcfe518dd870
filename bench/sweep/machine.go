package sweep

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"ufm/bench"
	"ufm/internal/hardware"
	"ufm/moe"
)

// Machine is what a sweep runs on, as a child saw it.
type Machine struct {
	Backend  string            `json:"backend"`
	Device   moe.Device        `json:"device"`
	Details  any               `json:"details"` // as the driver tells; null: no more is known
	Ceilings hardware.Ceilings `json:"ceilings"`
	Host     Host              `json:"host"`
	Cards    []Card            `json:"cards"` // of NVIDIA, where their driver tells
}

// Host is the computer around the device.
type Host struct {
	CPU       string `json:"cpu"`
	Cores     int    `json:"cores"`
	RAMBytes  int64  `json:"ram_bytes"`
	OS        string `json:"os"`
	Kernel    string `json:"kernel"`
	GoVersion string `json:"go_version"`
}

// Card is what NVIDIA's driver tells of a card now. Unknown figures are null.
type Card struct {
	Name          string   `json:"name"`
	Driver        string   `json:"driver"`
	MemoryBytes   *int64   `json:"memory_bytes"`
	LinkGen       *int     `json:"link_gen"` // in use; an idle card may lower it
	LinkWidth     *int     `json:"link_width"`
	MaxLinkGen    *int     `json:"max_link_gen"`
	MaxLinkWidth  *int     `json:"max_link_width"`
	ClockMHz      *int     `json:"clock_mhz"`
	MemoryMHz     *int     `json:"memory_mhz"`
	PowerW        *float64 `json:"power_w"`
	PowerLimitW   *float64 `json:"power_limit_w"`
	TemperatureC  *int     `json:"temperature_c"`
	PersistenceOn *bool    `json:"persistence_on"`
}

// thisHost describes the computer. What it does not tell is left empty.
func thisHost() Host {
	cpu := moe.NewCPU(moe.CPUOptions{})
	defer cpu.Close()
	return Host{
		CPU: cpu.Device().Name, Cores: runtime.NumCPU(), RAMBytes: ramBytes(),
		OS: system(), Kernel: firstLine("/proc/sys/kernel/osrelease"), GoVersion: runtime.Version(),
	}
}

func system() string {
	name := runtime.GOOS + "/" + runtime.GOARCH
	text, _ := os.ReadFile("/etc/os-release")
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(v), `"`) + ", " + name
		}
	}
	return name
}

func ramBytes() int64 {
	var kib int64
	if _, err := fmt.Sscanf(firstLine("/proc/meminfo"), "MemTotal: %d kB", &kib); err != nil {
		return 0
	}
	return kib << 10
}

func firstLine(path string) string {
	text, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(text), "\n")
	return line
}

// Version is the program that made a folder. Rows of two versions do not mix.
type Version struct {
	Schema int     `json:"schema"` // of rows
	Commit *string `json:"commit"` // null: not stamped
	Binary string  `json:"binary"` // start of the program's SHA-256
}

// thisVersion hashes the program itself, which is all there is to go by in a build
// from a modified tree.
func thisVersion() (Version, error) {
	v := Version{Schema: bench.RowSchema, Commit: bench.Commit()}
	path, err := os.Executable()
	if err != nil {
		return v, fmt.Errorf("sweep: this program: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return v, fmt.Errorf("sweep: this program: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return v, fmt.Errorf("sweep: this program: %w", err)
	}
	v.Binary = fmt.Sprintf("%x", sum.Sum(nil)[:8])
	return v, nil
}

// difference tells what makes w another version, or "". A clean commit says it all: it
// may be built anew on another machine.
func (v Version) difference(w Version) string {
	a, b := commitName(v.Commit), commitName(w.Commit)
	switch {
	case v.Schema != w.Schema:
		return fmt.Sprintf("rows of schema %d there and %d here", v.Schema, w.Schema)
	case a != b:
		return fmt.Sprintf("commit %s there and %s here", a, b)
	case v.Commit != nil && !strings.HasSuffix(a, "+modified"):
		return ""
	case v.Binary != w.Binary:
		return fmt.Sprintf("program %s there and %s here, both of commit %s", v.Binary, w.Binary, a)
	}
	return ""
}

func commitName(commit *string) string {
	if commit == nil {
		return "unknown"
	}
	return *commit
}
