package vk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCacheFile(t *testing.T) {
	path := cachePath(filepath.Join(t.TempDir(), "new", "folder"), "device")
	if got := readCache(path); got != nil {
		t.Errorf("no file: got %q, want nil", got)
	}
	for _, want := range []string{"first", "second, longer", ""} {
		if err := writeCache(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if got := readCache(path); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1 {
		t.Errorf("got %v, %v, want the one file", files, err)
	}
}

func TestDamagedCacheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache")
	if err := writeCache(path, []byte("pipelines")); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) { // cut short, or one byte changed
		changed := append([]byte{}, whole...)
		changed[n] ^= 1
		for _, file := range [][]byte{whole[:n], changed} {
			if err := os.WriteFile(path, file, 0o644); err != nil {
				t.Fatal(err)
			}
			if got := readCache(path); got != nil {
				t.Fatalf("damage at byte %d: got %q, want nil", n, got)
			}
		}
	}
}

func TestCachePath(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/user/cache")
	got := []string{cachePath("", "d"), cachePath("/dir", "d"), cachePath("off", "d")}
	want := []string{"/user/cache/ufm/pipelines-d", "/dir/pipelines-d", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got)\n%s", diff)
	}
}
