package vk

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
)

// A pipeline cache on disk is the driver's data behind its SHA-256: a driver need not
// survive a damaged file, so it never sees one.

// cachePath is the file for a device's pipelines, or "" to keep none.
func cachePath(dir, device string) string {
	switch dir {
	case "off":
		return ""
	case "":
		user, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(user, "ufm")
	}
	return filepath.Join(dir, "pipelines-"+device)
}

// readCache returns the data of a cache file, or nil if there is none that is whole.
func readCache(path string) []byte {
	file, err := os.ReadFile(path)
	if err != nil || len(file) < sha256.Size {
		return nil
	}
	data := file[sha256.Size:]
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], file[:sha256.Size]) {
		return nil
	}
	return data
}

// writeCache replaces a cache file. Other processes see the old file or the new one.
func writeCache(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, as it should, once renamed
	sum := sha256.Sum256(data)
	_, err = f.Write(append(sum[:], data...))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
