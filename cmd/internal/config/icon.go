package config

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
)

const (
	maxIcon = 64 * 1024 // bytes; encoded it must fit into one argument of a shell
	maxSide = 1024      // pixels; a small file can unfold into gigabytes
)

// IconProblem says what is wrong with the picture of a link, wherever it comes from:
// "is not a PNG picture: convert it". It is empty for a PNG of at most 64 KiB and
// 1024 by 1024 pixels.
func IconProblem(picture []byte) string {
	if len(picture) > maxIcon {
		return tooManyBytes(int64(len(picture)))
	}
	const noPNG = "is not a PNG picture: convert it"
	head, err := png.DecodeConfig(bytes.NewReader(picture))
	switch {
	case err != nil:
		return noPNG
	case head.Width > maxSide || head.Height > maxSide:
		return fmt.Sprintf("is %d×%d pixels and may be %d×%d: make the picture smaller", head.Width, head.Height, maxSide, maxSide)
	}
	if _, err := png.Decode(bytes.NewReader(picture)); err != nil {
		return noPNG
	}
	return ""
}

func tooManyBytes(n int64) string {
	return fmt.Sprintf("has %d bytes and may have %d: make the picture smaller", n, maxIcon)
}

func (c *checker) icon(key, path string) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxIcon {
		c.problem(key, "%s %s", path, tooManyBytes(info.Size()))
		return
	}
	data, err := readLimited(path, maxIcon)
	if err != nil {
		c.problem(key, "%s: %s; give a PNG or remove the key for the built-in icon", path, cause(err))
		return
	}
	if problem := IconProblem(data); problem != "" {
		c.problem(key, "%s %s", path, problem)
	}
}
