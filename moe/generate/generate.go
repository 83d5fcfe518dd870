package generate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ufm/internal/tokenizer"
	"ufm/moe"
	"ufm/pager"
)

// Request is what to generate.
type Request struct {
	Prompt    []int32
	MaxTokens int // of the answer; 0: the prompt is read, and that is all
	Sampling  Sampling
	EndOfText []int32 // ids that end the answer; none: it goes on
	// Text turns the answer into text. Nil: the answer is ids alone.
	Text *Text
	Stop []string // texts that end the answer, and are not part of it
	// Token is called with each id as soon as it is chosen; may be nil.
	Token func(id int32)
	// Step is called with what each step of so many tokens cost; may be nil.
	Step func(p pager.Phase, tokens int, t moe.StepTimes)
}

// validate lists what is wrong with r for a context of that many tokens.
func (r *Request) validate(context int) error {
	errs := []error{r.Sampling.Validate()}
	if len(r.Prompt) == 0 {
		errs = append(errs, errors.New("the prompt is empty"))
	}
	if len(r.Prompt) > context {
		errs = append(errs, fmt.Errorf("the prompt has %d tokens, the context %d",
			len(r.Prompt), context))
	}
	if r.MaxTokens < 0 {
		errs = append(errs, fmt.Errorf("max tokens must be at least 0, not %d", r.MaxTokens))
	}
	if len(r.Stop) > 0 && r.Text == nil {
		errs = append(errs, errors.New("texts to stop at need the model's tokenizer"))
	}
	if slices.Contains(r.Stop, "") {
		errs = append(errs, errors.New("a text to stop at is empty"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	return nil
}

// Generate reads a prompt into an empty sequence and continues it. emit is called with
// each piece of text, whole characters only, as soon as it is known; may be nil. After
// an error, also the end of ctx, the report tells how far it came.
func (s *Session) Generate(
	ctx context.Context, r Request, emit func(text string) error,
) (*Report, error) {
	if err := r.validate(s.cfg.Context); err != nil {
		return nil, err
	}
	if emit == nil {
		emit = func(string) error { return nil }
	}
	a := &answer{
		Session: s, Request: r, emit: emit, sampler: newSampler(r.Sampling),
		stopper: stopper{stops: r.Stop}, logits: make([]float32, s.model.Config().Vocab),
		report: s.report(r),
	}
	if r.Text != nil {
		a.stream = r.Text.tokens.NewStream(true, false)
		a.report.Text = new("")
	}
	err := a.run(ctx)
	if err != nil {
		a.report.Finish = FinishFailed
		if ctx.Err() != nil {
			a.report.Finish = FinishInterrupted
		}
	}
	a.report.Prefetch, a.report.PeakDeviceBytes = s.prefetch.state(), s.runner.DeviceBytes()
	if a.report.Text != nil {
		*a.report.Text = a.text.String()
	}
	return a.report, err
}

// answer is a Request on its way to a Report.
type answer struct {
	*Session
	Request
	report    *Report
	emit      func(string) error
	sampler   *sampler
	stopper   stopper
	stream    *tokenizer.Stream // nil: ids alone
	text      strings.Builder
	logits    []float32 // (vocab) after the last token
	likeliest *int32    // after the last token, where the runner has found it; nil: see logits
}

func (a *answer) run(ctx context.Context) error {
	begun := time.Now()
	a.runner.Reset()
	prefill := newMeter(a.runner)
	err := a.prefill(ctx, prefill)
	a.report.Prefill = prefill.phase()
	if err != nil {
		return err
	}
	decode := newMeter(a.runner)
	err = a.decode(ctx, decode, begun)
	a.report.Decode = decode.phase()
	return errors.Join(err, a.finish())
}

// warmStart is how many tokens at the prompt's end are a step of their own. The experts
// that they need are the last that prefill touches, and those that decode will want: on
// recorded traces the first 16 decoded tokens then hit 2 to 6 points more at 10 and 25 %
// of the bank. It does not depend on the budget, so that all budgets give the same bits.
const warmStart = 4

// prefill reads the prompt, a chunk a step.
func (a *answer) prefill(ctx context.Context, m *meter) error {
	for left := a.Prompt; len(left) > 0; {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(left), a.cfg.Run.MaxTokens)
		if n == len(left) && n > warmStart {
			n -= warmStart
		}
		var logits []float32
		if n == len(left) {
			logits = a.logits
		}
		times, err := a.forward(ctx, pager.Prefill, left[:n], logits)
		if err != nil {
			return err
		}
		m.add(n, times)
		a.tell(pager.Prefill, n, times)
		left = left[n:]
	}
	return nil
}

// decode chooses a token and runs it, until the answer ends.
func (a *answer) decode(ctx context.Context, m *meter, begun time.Time) error {
	for {
		if len(a.report.OutputIDs) == a.MaxTokens {
			a.report.Finish = FinishLength
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		id, err := a.choose()
		if err != nil {
			return err
		}
		if a.report.TimeToFirstTokenMs == nil {
			a.report.TimeToFirstTokenMs = new(milliseconds(time.Since(begun)))
		}
		ended, err := a.take(id)
		if err != nil || ended {
			return err
		}
		if a.runner.Position() == a.cfg.Context {
			a.report.Finish = FinishContext
			return nil
		}
		if len(a.report.OutputIDs) == a.MaxTokens {
			continue // nobody asks what comes after it
		}
		if err := a.next(ctx, m, id); err != nil {
			return err
		}
	}
}

// choose is the next token of the answer.
func (a *answer) choose() (int32, error) {
	switch {
	case a.likeliest == nil:
		return a.sampler.next(a.logits)
	case *a.likeliest < 0:
		return 0, fmt.Errorf("generate: the logit of token %d is not finite", -1-*a.likeliest)
	}
	return *a.likeliest, nil
}

// decodeOne runs one token through the model. If the likeliest is wanted after it, a runner that
// can find it on the device does so.
func (a *answer) decodeOne(ctx context.Context, id int32) (moe.StepTimes, error) {
	a.likeliest = nil
	if a.Sampling.Temperature == 0 {
		more := len(a.report.OutputIDs)+1 < a.MaxTokens && a.runner.Position()+1 < a.cfg.Context
		likeliest, times, err := a.follow(ctx, id, more)
		if err == nil {
			a.likeliest = &likeliest
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return times, err
		}
	}
	return a.forward(ctx, pager.Decode, []int32{id}, a.logits)
}

// next runs one token through the model and tells what it took.
func (a *answer) next(ctx context.Context, m *meter, id int32) error {
	moved, stats := a.runner.Moved(), a.runner.Stats()
	times, err := a.decodeOne(ctx, id)
	if err != nil {
		return err
	}
	m.add(1, times)
	a.tell(pager.Decode, 1, times)
	now := a.runner.Stats()
	a.Session.prefetch.took(used{
		wall: times.Wall, upload: times.Upload, moved: a.runner.Moved() - moved,
		misses:     now.Misses - stats.Misses,
		prefetched: (now.PrefetchUsed - stats.PrefetchUsed) * a.model.Shape().ExpertBytes(),
	})
	return nil
}

func (a *answer) tell(p pager.Phase, tokens int, t moe.StepTimes) {
	if a.Step != nil {
		a.Step(p, tokens, t)
	}
}

// take adds a token to the answer and tells whether the answer ends with it.
func (a *answer) take(id int32) (ended bool, err error) {
	a.report.OutputIDs = append(a.report.OutputIDs, id)
	if a.Token != nil {
		a.Token(id)
	}
	if slices.Contains(a.EndOfText, id) {
		a.report.Finish = FinishEnd
		return true, nil
	}
	if a.stream == nil {
		return false, nil
	}
	text, stopped := a.stopper.write(a.stream.Write(id))
	if stopped {
		a.report.Finish = FinishStop
	}
	return stopped, a.say(text)
}

// finish prints what was held back.
func (a *answer) finish() error {
	if a.stream == nil || a.report.Finish == FinishStop {
		return nil
	}
	text, stopped := a.stopper.write(a.stream.Close())
	if stopped {
		a.report.Finish = FinishStop
	} else {
		text += a.stopper.close()
	}
	return a.say(text)
}

func (a *answer) say(text string) error {
	if text == "" {
		return nil
	}
	a.text.WriteString(text)
	return a.emit(text)
}
