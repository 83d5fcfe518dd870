package pager

// fifo evicts the expert that has been resident longest: Belady, "A study of
// replacement algorithms for a virtual-storage computer", IBM Systems Journal, 1966.
type fifo struct{ *arrayLRU }

func newFIFO(shape Shape, slots int) fifo { return fifo{newArrayLRU(shape, slots)} }

func (fifo) Name() string { return "fifo" }

func (fifo) Touch(ExpertID) {}
