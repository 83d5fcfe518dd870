package moe_test

import (
	"context"
	"fmt"
	"log"

	"ufm/moe"
	"ufm/moe/tiny"
	"ufm/pager"
)

// Load a checkpoint, give its experts a quarter of the memory that they would need, and
// let it continue a prompt, always with the likeliest token.
func Example() {
	model, err := moe.OpenText(tiny.FS(), tiny.Name) // or os.DirFS(dir)
	if err != nil {
		log.Fatal(err)
	}
	defer model.Close()
	backend := moe.NewCPU(moe.CPUOptions{}).(moe.TextBackend)
	defer backend.Close()

	budget := model.Shape().BankBytes() / 4
	ctx := context.Background()
	runner, err := backend.NewTextRunner(moe.TextConfig{
		Run: moe.RunConfig{
			Shape: model.Shape(), Mode: moe.UFM, MaxTokens: 256,
			Slots: int(budget / model.Shape().ExpertBytes()),
		},
		Context:  512,
		Prefetch: true,
	}, model)
	if err != nil {
		log.Fatal(err)
	}
	defer runner.Close()
	bank, err := backend.NewBank(ctx, model, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer bank.Close()
	defer runner.Close() // before the bank, which a prefetch may still read
	if err := runner.Attach(ctx, bank); err != nil {
		log.Fatal(err)
	}

	// "honour go / To one that would do thus. I am half through; / The one part suffer'd, the
	// other will I do", and what comes out is ", / If you do, if you"
	ids := []int32{278, 271, 419, 562, 199, 935, 661, 355, 1168, 594, 261, 379, 14, 341, 747, 278,
		1751, 1291, 27, 199, 856, 661, 941, 909, 1763, 962, 12, 265, 905, 539, 341, 594}
	logits := make([]float32, model.Config().Vocab)
	batch := moe.TextBatch{Phase: pager.Prefill, IDs: ids, Logits: logits}
	for step := range 8 {
		if step > 0 {
			batch = moe.TextBatch{Step: step, Phase: pager.Decode, IDs: ids, Logits: logits}
		}
		if _, err := runner.Forward(ctx, &batch); err != nil {
			log.Fatal(err)
		}
		best := 0
		for id, v := range logits {
			if v > logits[best] {
				best = id
			}
		}
		fmt.Print(best, " ")
		ids = []int32{int32(best)}
	}
	if stats := runner.Stats(); stats.Uploads != stats.Misses+stats.Prefetches {
		log.Fatal("experts were uploaded that nobody had asked for")
	}
	// Output: 12 199 41 70 510 594 12 413
}
