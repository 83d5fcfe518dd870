package hardware

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Profiles of known devices, for those who have none at hand. Each figure has its source
// in the file.
//
//go:embed profiles/*.json
var profiles embed.FS

// ProfileNames lists the shipped profiles.
func ProfileNames() []string {
	files, err := fs.Glob(profiles, "profiles/*.json")
	if err != nil {
		panic("hardware: " + err.Error()) // the pattern is a constant
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(f, "profiles/"), ".json")
	}
	return files
}

// Open reads ceilings: those of a shipped profile, or of a file as ufm info --measure
// keeps it.
func Open(nameOrPath string) (Ceilings, error) {
	text, err := profiles.ReadFile("profiles/" + nameOrPath + ".json")
	if err != nil {
		text, err = os.ReadFile(nameOrPath)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return Ceilings{}, fmt.Errorf("hardware: %s: neither a file nor a profile (%s)",
			nameOrPath, strings.Join(ProfileNames(), ", "))
	}
	if err != nil {
		return Ceilings{}, fmt.Errorf("hardware: %w", err)
	}
	var c Ceilings
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&c); err != nil {
		return Ceilings{}, fmt.Errorf("hardware: %s: %w", nameOrPath, err)
	}
	if !c.plausible() {
		return Ceilings{}, fmt.Errorf("hardware: %s: a rate is missing: read %g GB/s, link %g GB/s, "+
			"f32 %g TFLOP/s", nameOrPath, c.ReadGBs, c.LinkGBs, c.F32TFlops)
	}
	return c, nil
}
