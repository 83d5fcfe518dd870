// Package generate makes a language model with paged experts answer: text to token ids,
// the loop of prefill and decode, sampling, and an account of both phases.
//
//	model, err := moe.OpenText(os.DirFS(dir), "my-model")
//	text, err := generate.OpenText(os.DirFS(dir), model.Config())
//	s, err := generate.New(moe.NewCPU(moe.CPUOptions{}), model, generate.Options{
//		Context: 2048, Slots: 64,
//	})
//	err = s.Attach(ctx, bank)
//	ids, err := text.Encode("Once upon a time")
//	report, err := s.Generate(ctx, generate.Request{Prompt: ids, MaxTokens: 100, Text: text},
//		func(piece string) error { _, err := fmt.Print(piece); return err })
//
// With temperature 0, the default, what comes out depends on the model and the prompt
// alone: not on the number of slots, the policy or prefetching.
//
// A Session serves one goroutine at a time. Text may serve any number.
package generate
