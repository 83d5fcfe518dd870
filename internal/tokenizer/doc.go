// Package tokenizer turns text into a model's token ids and back, as a checkpoint's
// tokenizer.json says.
//
//	t, err := tokenizer.Parse(text)
//	ids, err := t.Encode("Once upon a time", true)
//	s := t.NewStream(true)
//	for id := range generated {
//		fmt.Print(s.Write(id)) // whole characters only
//	}
//	fmt.Print(s.Close())
//
// It knows byte-pair encoding in the two forms that the supported models come in: on
// bytes (Qwen, OLMoE), and on characters with a mark for spaces and with bytes as the
// fallback (Mixtral). The parts of the file that it does not know are an error that
// names them: a token that is off by one character gives a model that talks nonsense.
//
// A Tokenizer does not change once it is made; any number of goroutines may use it.
package tokenizer
