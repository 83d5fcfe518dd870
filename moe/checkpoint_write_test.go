package moe

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"ufm/pager"
)

// TestWriteCheckpoint writes synthetic models and reads every weight back.
func TestWriteCheckpoint(t *testing.T) {
	for _, arch := range SyntheticArchitectures() {
		for dtype := F32; dtype <= BF16; dtype++ {
			if raceDetector && dtype != BF16 {
				continue
			}
			want, dir := smallText(t, arch, dtype, nil), filepath.Join(t.TempDir(), "new")
			var done int64
			if err := WriteCheckpoint(t.Context(), want, dir, func(n int64) { done = n }); err != nil {
				t.Fatal(err)
			}
			if done < want.Shape().BankBytes() {
				t.Errorf("progress: got %d bytes, want more than the bank's %d", done, want.Shape().BankBytes())
			}
			got, err := OpenText(os.DirFS(dir), "small")
			if err != nil {
				t.Fatal(err)
			}
			sameModel(t, arch+" "+dtype.String(), got, want)
			got.Close()
			if err := WriteCheckpoint(t.Context(), want, dir, nil); err == nil {
				t.Errorf("%s: a second checkpoint in the same folder: no error", arch)
			}
			if _, err := os.Stat(filepath.Join(dir, configFile)); err != nil {
				t.Errorf("%s: the refused write removed the first checkpoint: %v", arch, err)
			}
		}
	}
}

// TestWriteCheckpointShards cuts a model into several files with an index.
func TestWriteCheckpointShards(t *testing.T) {
	want, dir := smallText(t, "qwen3-30b-a3b", BF16, nil), t.TempDir()
	w := &checkpointWriter{ctx: t.Context(), model: want, dir: dir, most: 1}
	if err := w.write(); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "model-0000*-of-00004.safetensors")); len(files) != 4 {
		t.Errorf("got files %v, want one for each of 3 layers and one for the rest", files)
	}
	got, err := OpenText(os.DirFS(dir), "small")
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	sameModel(t, "shards", got, want)
}

func sameModel(t *testing.T, name string, got, want TextModel) {
	t.Helper()
	if diff := gocmp.Diff(want.Config(), got.Config()); diff != "" {
		t.Errorf("%s: config (-want +got):\n%s", name, diff)
	}
	same := func(what string, get func(TextModel) (any, error)) {
		t.Helper()
		g, err := get(got)
		w, err2 := get(want)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if !gocmp.Equal(g, w) {
			t.Errorf("%s: %s differs", name, what)
		}
	}
	for l := range want.Config().Layers {
		same("router", func(m TextModel) (any, error) { return m.Router(l) })
		for kind := range Head + 1 {
			same(kind.tensor(l), func(m TextModel) (any, error) { return m.Dense(kind, l) })
		}
	}
	same("head as stored", func(m TextModel) (any, error) {
		out, in := m.Config().DenseShape(Head)
		raw := make([]byte, out*in*m.DenseDType().Size())
		return raw, m.FillDense(Head, 0, raw)
	})
	for e := range want.Shape().Paging().Universe() {
		same("expert", func(m TextModel) (any, error) { return m.Expert(pager.ExpertID(e)) })
	}
}

// TestWriteCheckpointFails checks that nothing of a failed write stays.
func TestWriteCheckpointFails(t *testing.T) {
	m, dir := smallText(t, "mixtral-8x7b", BF16, nil), t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	err := WriteCheckpoint(ctx, m, dir, func(int64) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got error %v, want that of the context", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
