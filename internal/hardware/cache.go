package hardware

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Schema is the version of the ceilings file. Files of another version are
// measured again.
const Schema = 2

// Cache keeps measured ceilings in a folder, one file per backend, device and driver.
// The zero Cache keeps nothing.
type Cache struct {
	Dir string
}

// DefaultCache is the folder of this user: ufm/hardware under os.UserCacheDir.
func DefaultCache() (Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return Cache{}, fmt.Errorf("hardware: cache folder: %w", err)
	}
	return Cache{Dir: filepath.Join(dir, "ufm", "hardware")}, nil
}

// Load returns the ceilings kept for a device. ok is false where there are none
// that can be used: no file, one that does not parse, or one of another schema or
// device. None of these is an error, for all have the same cure: measure again.
func (c Cache) Load(backend, device, driver string) (kept Ceilings, ok bool) {
	if c.Dir == "" {
		return Ceilings{}, false
	}
	text, err := os.ReadFile(c.path(backend, device, driver))
	if err != nil || json.Unmarshal(text, &kept) != nil {
		return Ceilings{}, false
	}
	ok = kept.Schema == Schema && kept.Backend == backend &&
		kept.Device == device && kept.Driver == driver && kept.plausible()
	if !ok {
		return Ceilings{}, false
	}
	return kept, true
}

// Save keeps measured ceilings, unless they are cramped. Readers see the old file or the
// new one, never a part.
func (c Cache) Save(measured Ceilings) error {
	if c.Dir == "" || measured.Cramped {
		return nil
	}
	measured.Schema = Schema
	if !measured.plausible() {
		return fmt.Errorf("hardware: ceilings of %s: a rate is missing: %+v",
			measured.Device, measured)
	}
	text, err := json.MarshalIndent(measured, "", "  ")
	if err != nil {
		return fmt.Errorf("hardware: ceilings of %s: %w", measured.Device, err)
	}
	path := c.path(measured.Backend, measured.Device, measured.Driver)
	if err := writeAtomic(path, append(text, '\n')); err != nil {
		return fmt.Errorf("hardware: keep ceilings: %w", err)
	}
	return nil
}

// path puts a readable name first and a hash after it, since names of devices and
// drivers hold characters that files cannot.
func (c Cache) path(backend, device, driver string) string {
	sum := sha256.Sum256([]byte(backend + "\x00" + device + "\x00" + driver))
	readable := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		default:
			return '-'
		}
	}, strings.ToLower(device))
	if len(readable) > 40 {
		readable = readable[:40]
	}
	return filepath.Join(c.Dir, fmt.Sprintf("%s-%s-%x.json", backend, readable, sum[:6]))
}

// plausible tells whether the rates that every limit needs are there.
func (c Ceilings) plausible() bool {
	return c.ReadGBs > 0 && c.LinkGBs > 0 && c.F32TFlops > 0
}

func writeAtomic(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
