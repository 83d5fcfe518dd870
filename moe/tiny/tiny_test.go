package tiny

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFilesCanBeReadAtAnyPlace(t *testing.T) {
	for _, name := range []string{"config.json", "generation_config.json", "model.safetensors",
		"tokenizer.json", ActivationsFile} {
		f, err := FS().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, ok := f.(io.ReaderAt); !ok {
			t.Errorf("%s is no io.ReaderAt", name)
		}
	}
}

func TestFilesAreTheTrainedOnes(t *testing.T) {
	root := os.Getenv("UFM_TESTDATA")
	if root == "" && os.Getenv("CI") == "true" {
		t.Fatal("UFM_TESTDATA is not set")
	}
	if root == "" {
		t.Skip("UFM_TESTDATA is not set")
	}
	err := fs.WalkDir(FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		got, err := fs.ReadFile(FS(), name)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(filepath.Join(root, "models", Name, filepath.FromSlash(name)))
		if err == nil && !bytes.Equal(got, want) {
			t.Errorf("%s differs from the shared file", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
