package bench

import (
	"fmt"

	"ufm/moe"
)

// Advice says what would make a row faster, largest gain first as far as the row tells,
// in the row's own figures. On unified memory, which serves device and host, paging is
// the first thing to do without.
func (r Row) Advice(unified bool) []string {
	var lines []string
	if unified && r.Status == StatusOK {
		lines = append(lines, fmt.Sprintf("on %s a copy stays within one memory: "+
			"keeping all %s resident costs nothing there", r.Device, size(r.BankBytes)))
	}
	if r.LimitFraction == nil {
		return lines
	}
	if *r.LimitFraction > 1 {
		return append(lines, fmt.Sprintf("it ran at %s of its limit: the ceilings were measured "+
			"too low (caches, or a busy machine); ufm info --measure measures them again",
			percent(*r.LimitFraction)))
	}
	for _, advice := range []func(Row) string{
		Row.adviseBytes, Row.advisePolicy, Row.adviseStalls, Row.adviseKernels, Row.adviseOverhead,
	} {
		if line := advice(r); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// adviseBytes speaks up where the link binds: no policy uploads less than the best one.
func (r Row) adviseBytes() string {
	if *r.LimitBy != byLink {
		return ""
	}
	line := fmt.Sprintf("the link binds even the best policy: only a larger budget "+
		"(of the bank's %s it has %s) or a faster link lifts the limit",
		size(r.BankBytes), size(r.BudgetBytes))
	switch {
	case r.DType != moe.F32.String():
		return line
	case r.BankBytes/2 <= r.BudgetBytes:
		return line + ", or 16-bit weights, with which the whole bank fits the budget"
	}
	return line + ", or 16-bit weights, which halve every upload"
}

// advisePolicy speaks up where more was uploaded than had to be, if a twentieth of the
// step or more would be saved.
func (r Row) advisePolicy() string {
	extra := *r.Uploads - *r.BeladyUploads
	if extra <= 0 {
		return ""
	}
	line := fmt.Sprintf("belady, which knows the future, would make %s of the %s uploads",
		integer(*r.BeladyUploads), integer(*r.Uploads))
	if r.UploadMs == nil {
		return line
	}
	saved := *r.UploadMs * float64(extra) / float64(*r.Uploads)
	if saved < 0.05*r.step() {
		return ""
	}
	return line + fmt.Sprintf(", which took %s ms a step", figure(*r.UploadMs))
}

// busyLink is the fraction of the link's rate from which on it has nothing to give.
const busyLink = 0.9

// adviseStalls speaks up where compute waited. Where the link was busy all the time and
// had to be, adviseBytes has said it.
func (r Row) adviseStalls() string {
	if r.StallMs == nil || *r.StallMs < 0.05*r.step() || *r.LimitBy == byLink && *r.LimitFraction >= busyLink {
		return ""
	}
	line := fmt.Sprintf("compute waited %s of %s ms for uploads", figure(*r.StallMs), figure(r.step()))
	switch {
	case r.LinkFraction == nil:
		return line + ": fewer of them, or earlier ones, would shorten the step"
	case *r.LinkFraction >= busyLink:
		return line + fmt.Sprintf(", with the link %s busy: only fewer of them would shorten the step",
			percent(*r.LinkFraction))
	case r.Layers == 1: // the router of the only layer runs first
		return line + fmt.Sprintf(", with the link %s busy: fewer of them would shorten the step, "+
			"or a shorter way from the router's choice to the first copy", percent(*r.LinkFraction))
	}
	return line + fmt.Sprintf(", with the link %s busy: uploads that start earlier (prefetch), "+
		"or fewer of them, would shorten the step", percent(*r.LinkFraction))
}

// adviseKernels speaks up where compute was busy for longer than its limit explains.
func (r Row) adviseKernels() string {
	if r.ComputeMs == nil || *r.LimitBy == byLink ||
		*r.ComputeMs < 0.5*r.step() || *r.LimitMs > 0.9**r.ComputeMs {
		return ""
	}
	return fmt.Sprintf("compute took %s of %s ms, where the limit is %s ms: faster kernels, "+
		"or more work for each launch, would come nearer to it",
		figure(*r.ComputeMs), figure(r.step()), figure(*r.LimitMs))
}

// adviseOverhead speaks up where neither queue was at work.
func (r Row) adviseOverhead() string {
	if r.ComputeMs == nil {
		return ""
	}
	idle := r.step() - max(*r.ComputeMs+*r.StallMs, *r.UploadMs)
	if idle < 0.1*r.step() {
		return ""
	}
	return fmt.Sprintf("a part of the %s ms went neither into compute (%s) nor into uploads (%s): "+
		"more tokens a step would share the cost of launching it",
		figure(r.step()), figure(*r.ComputeMs), figure(*r.UploadMs))
}

// step is the mean time of a step, as its parts are means. Rows of an older program know
// only the median.
func (r Row) step() float64 {
	if r.StepMsMean != nil {
		return *r.StepMsMean
	}
	return *r.StepMsMedian
}
