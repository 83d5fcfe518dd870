package shaders_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"testing"

	"ufm/shaders"
)

// TestManifest proves that the committed SPIR-V belongs to the committed sources. It needs
// no compiler; `go run ./shaders/build -check` compiles again where glslc is installed.
func TestManifest(t *testing.T) {
	m, err := shaders.ReadManifest()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(m.Modules), len(shaders.Variants()); got != want {
		t.Errorf("modules: got %d, want %d", got, want)
	}
	for _, v := range shaders.Variants() {
		entry, ok := m.Modules[v.Name]
		if !ok {
			t.Errorf("%s: not in the manifest", v.Name)
			continue
		}
		source, err := shaders.SourceHash(os.DirFS("."), v)
		if err != nil {
			t.Fatal(err)
		}
		if entry.Source != source {
			t.Errorf("%s: source changed since it was compiled: run go run ./shaders/build", v.Name)
		}
		sum := sha256.Sum256(shaders.Code(v.Name))
		if entry.Code != hex.EncodeToString(sum[:]) {
			t.Errorf("%s: code is not what the manifest says", v.Name)
		}
		if !slices.Equal(entry.Defines, v.Defines) {
			t.Errorf("%s: defines: got %q, want %q", v.Name, entry.Defines, v.Defines)
		}
		if !slices.Equal(entry.Flags, v.Flags()) {
			t.Errorf("%s: flags: got %q, want %q", v.Name, entry.Flags, v.Flags())
		}
	}
}
