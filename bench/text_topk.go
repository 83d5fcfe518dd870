package bench

import "ufm/moe"

// WithTopK is m with another number of experts for each token: that of a recorded
// routing which it is to follow.
func WithTopK(m moe.TextModel, topK int) moe.TextModel {
	if m.Shape().TopK == topK {
		return m
	}
	return &otherTopK{m, topK}
}

type otherTopK struct {
	moe.TextModel
	topK int
}

func (m *otherTopK) Shape() moe.Shape {
	s := m.TextModel.Shape()
	s.TopK = m.topK
	return s
}

func (m *otherTopK) Config() moe.Config {
	c := m.TextModel.Config()
	c.TopK = m.topK
	return c
}
