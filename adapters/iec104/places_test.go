package iec104

import "testing"

func TestPlaces(t *testing.T) {
	points := []Point{{Station: 2, Object: 7}, {Station: 65534, Object: 0}, {Station: 1, Object: 16777215}, {Station: 1, Object: 9}, {Station: 2, Object: 9}}
	p := placesOf(points)
	for want, is := range points {
		if n, known := p.point(is.Station, is.Object); !known || n != want {
			t.Errorf("%d:%d is point %d, %v, expected %d", is.Station, is.Object, n, known, want)
		}
	}
	for _, none := range []Point{{Station: 1, Object: 7}, {Station: 2, Object: 8}, {Station: 2, Object: 16777215}, {Station: 0, Object: 9}, {Station: 65535}} {
		if n, known := p.point(none.Station, none.Object); known {
			t.Errorf("%d:%d is point %d, expected none", none.Station, none.Object, n)
		}
	}
	if _, known := placesOf(nil).point(1, 1); known {
		t.Error("there is a point where there are none")
	}
}
