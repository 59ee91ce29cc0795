package image

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/chromedp/chromedp"

	"github.com/busbar/busbar/test/await"
	"github.com/busbar/busbar/test/browser"
	"github.com/busbar/busbar/test/peer"
)

// picture puts what the machine shows, on its screen and as its status page, into the
// documentation, if BUSBAR_PICTURES is set.
func (c *card) picture(password string) {
	c.t.Helper()
	if os.Getenv("BUSBAR_PICTURES") == "" || c.board.target != pc.target {
		return
	}
	c.save("flashing-screen.png", c.screen())
	// The browser needs neither the password nor trust in the certificate.
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, text := c.get(password)
		fmt.Fprint(w, text)
	}))
	defer page.Close()
	b := browser.New(c.t)
	b.Do(chromedp.Navigate(page.URL))
	shot, err := chromedp.Run(b.Ctx, chromedp.FullScreenshot(100))
	if err != nil {
		c.t.Fatal(err)
	}
	c.save("flashing-status.png", shot)
}

func (c *card) save(name string, picture []byte) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(peer.Root(), "docs", "images", name), picture, 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// screen is what the machine's screen shows, as PNG.
func (c *card) screen() []byte {
	c.t.Helper()
	monitor, err := net.Dial("unix", c.monitor)
	if err != nil {
		c.t.Fatal(err)
	}
	defer monitor.Close()
	to := filepath.Join(c.dir, "screen.ppm")
	fmt.Fprintf(monitor, "screendump %s\n", to)
	var picture image.Image
	await.True(c.t, "the emulator has written its screen", func() bool {
		text, err := os.ReadFile(to)
		if err != nil {
			return false
		}
		picture = parsePPM(text)
		return picture != nil
	})
	var out bytes.Buffer
	if err := png.Encode(&out, picture); err != nil {
		c.t.Fatal(err)
	}
	return out.Bytes()
}

// parsePPM is a whole picture in the portable pixmap's binary form, or nil.
func parsePPM(text []byte) image.Image {
	var width, height, most int
	if n, err := fmt.Sscanf(string(text[:min(len(text), 40)]), "P6\n%d %d\n%d\n", &width, &height, &most); n != 3 || err != nil {
		return nil
	}
	size := 3 * width * height
	if len(text) < size {
		return nil
	}
	pixels := text[len(text)-size:]
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		picture.Set(i%width, i/width, color.RGBA{pixels[3*i], pixels[3*i+1], pixels[3*i+2], 255})
	}
	return picture
}
