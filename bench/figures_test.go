package bench

import "testing"

func TestFigure(t *testing.T) {
	for in, want := range map[float64]string{
		0: "0", 1: "1.00", 0.01239: "0.0124", 9.876: "9.88", 43.25: "43.2", 97.36: "97.4",
		100: "100", 999.4: "999", 1000: "1,000", 123456.7: "123,457", -2.5: "-2.50",
	} {
		if got := figure(in); got != want {
			t.Errorf("%v: got %q, want %q", in, got, want)
		}
	}
}
