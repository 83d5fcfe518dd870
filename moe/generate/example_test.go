package generate_test

import (
	"context"
	"fmt"

	"ufm/moe"
	"ufm/moe/generate"
	"ufm/moe/tiny"
)

// A checkpoint answers with a quarter of its experts in memory.
func Example() {
	if err := answer(context.Background(), "Once upon a time"); err != nil {
		fmt.Println(err)
	}
	// Output:
	// ,
	// And then, to make thee hence, to
	// 11 tokens decoded with 64 of 256 experts in memory
}

func answer(ctx context.Context, prompt string) error {
	model, err := moe.OpenText(tiny.FS(), tiny.Name) // or os.DirFS(dir)
	if err != nil {
		return err
	}
	defer model.Close()
	text, err := generate.OpenText(tiny.FS(), model.Config())
	if err != nil {
		return err
	}
	ids, err := text.Encode(prompt)
	if err != nil {
		return err
	}

	backend := moe.NewCPU(moe.CPUOptions{})
	slots := model.Shape().Paging().Universe() / 4
	session, err := generate.New(backend.(moe.TextBackend), model,
		generate.Options{Context: 100, Slots: slots})
	if err != nil {
		return err
	}
	defer session.Close()
	bank, err := backend.NewBank(ctx, model, nil)
	if err != nil {
		return err
	}
	defer bank.Close()
	defer session.Close() // before the bank, which a prefetch may still read
	if err := session.Attach(ctx, bank); err != nil {
		return err
	}
	report, err := session.Generate(ctx,
		generate.Request{Prompt: ids, MaxTokens: 12, Text: text},
		func(piece string) error { fmt.Print(piece); return nil })
	if err != nil {
		return err
	}
	fmt.Printf("\n%d tokens decoded with %d of %d experts in memory\n",
		report.Decode.Tokens, slots, model.Shape().Paging().Universe())
	return nil
}
