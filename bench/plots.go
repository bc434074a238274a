package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours of the plots: ours in blues, the others in warm and grey ones.
var colours = map[string]color.Color{
	fenced: color.RGBA{0x1f, 0x77, 0xb4, 0xff}, plain: color.RGBA{0x7f, 0xb8, 0xe6, 0xff},
	fenced1: color.RGBA{0x12, 0x4a, 0x78, 0xff}, plain1: color.RGBA{0x7f, 0xb8, 0xe6, 0xff},
	redsync: color.RGBA{0xd6, 0x4a, 0x3a, 0xff}, rueidis: color.RGBA{0xe8, 0x95, 0x2f, 0xff},
	bsm: color.RGBA{0x8c, 0x6b, 0xb1, 0xff}, etcd: color.RGBA{0x4d, 0x9a, 0x5b, 0xff},
	floor: color.RGBA{0x99, 0x99, 0x99, 0xff}, bare: color.RGBA{0x55, 0x55, 0x55, 0xff},
}

const (
	width, height = 22 * vg.Centimeter, 9 * vg.Centimeter
	margin        = 10 // points: a font may be wider or higher than the one that is laid out
)

// A chart is a plot with its legend beside it.
type chart struct {
	*plot.Plot

	legend plot.Legend
}

func newChart(title string) *chart {
	plot.DefaultFont.Variant = "Sans"
	c := &chart{plot.New(), plot.NewLegend()}
	c.Title.Text, c.Y.Min = title, 0
	c.Title.Padding, c.X.Padding, c.Y.Label.Padding = margin, 0, margin/2
	c.X.Label.Padding = margin / 2
	c.legend.Top, c.legend.Left, c.legend.Padding = true, true, margin/2
	return c
}

// end puts the end of the vertical axis at a tick above the greatest value. There are four to ten
// ticks below it.
func (c *chart) end(greatest float64) {
	if greatest <= 0 { // nothing was measured
		return
	}
	unit := math.Pow(10, math.Floor(math.Log10(greatest)))
	step := unit
	for _, finer := range []float64{unit / 2, unit / 5} {
		if greatest < 4*step {
			step = finer
		}
	}
	var ticks plot.ConstantTicks
	for i := 0; ; i++ {
		at := float64(i) * step
		ticks = append(ticks, plot.Tick{Value: at, Label: strconv.FormatFloat(at, 'g', 4, 64)})
		if at > greatest {
			c.Y.Max, c.Y.Tick.Marker = at, ticks
			return
		}
	}
}

// writePlots writes the plots to that directory.
func writePlots(dir string, r results) error {
	load := []string{"one", "64", "1000"}
	loadNames := []string{"1 caller", "64 callers", "1,000 callers"}
	return errors.Join(
		bars(filepath.Join(dir, "five-nodes.svg"), "Pairs a second over redsync's, five nodes", "times redsync", loadNames,
			[]string{fenced, plain, redsync, floor, bare, etcd},
			func(c string, i int) float64 { return over(load[i], rate, c, redsync)(r) }),
		bars(filepath.Join(dir, "one-node.svg"), "Pairs a second over rueidislock's, one node", "times rueidislock", loadNames,
			[]string{fenced1, plain1, rueidis, bsm},
			func(c string, i int) float64 { return over(load[i], rate, c, rueidis)(r) }),
		bars(filepath.Join(dir, "reads.svg"), "Requests that the servers read for each hand-over", "reads",
			[]string{"1 process", "32 processes"}, []string{fenced, redsync, fenced1, rueidis, bsm},
			func(c string, i int) float64 { return value([]string{"paced", "32"}[i], c, readsBare)(r) }),
		waitsPlot(filepath.Join(dir, "waits.svg"), "How long 32 processes wait for their turns, hold 5 ms", r,
			"32", []string{fenced, redsync, rueidis, etcd}),
	)
}

// bars draws groups of bars, one bar a contestant.
func bars(path, title, unit string, groups, contestants []string, height0 func(contestant string, group int) float64) error {
	p, greatest := newChart(title), 0.0
	p.Y.Label.Text = unit
	p.NominalX(groups...)
	thick := vg.Points(270 / float64(len(groups)*len(contestants)))
	for i, c := range contestants {
		var vs plotter.Values
		for g := range groups {
			v := height0(c, g)
			if math.IsNaN(v) {
				v = 0
			}
			vs = append(vs, v)
			greatest = max(greatest, v)
		}
		b, err := plotter.NewBarChart(vs, thick)
		if err != nil {
			return fmt.Errorf("plot %s: %w", path, err)
		}
		b.Color, b.LineStyle.Width = colours[c], 0
		b.Offset = thick * vg.Length(float64(i)-float64(len(contestants)-1)/2)
		p.Add(b)
		p.legend.Add(c, b)
	}
	p.X.Min, p.X.Max = -0.5, float64(len(groups))-0.5
	p.end(greatest)
	return p.save(path)
}

// waitsPlot draws the distribution of waits: for each share of the turns, how long the wait was at
// most.
func waitsPlot(path, title string, r results, workload string, contestants []string) error {
	p, greatest := newChart(title), 0.0
	p.X.Label.Text, p.Y.Label.Text = "percent of the turns", "waited at most, ms"
	for _, c := range contestants {
		points := r.medianCurve(workload, c)
		if points == nil {
			continue
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return fmt.Errorf("plot %s: %w", path, err)
		}
		line.Color, line.Width = colours[c], vg.Points(1.5)
		p.Add(line)
		p.legend.Add(c, line)
		greatest = max(greatest, points[len(points)-1].Y)
	}
	p.X.Min, p.X.Max = 0, 100
	p.end(greatest)
	return p.save(path)
}

// medianCurve returns the median over the rounds of a contestant's curves, in milliseconds.
func (r results) medianCurve(workload, contestant string) (points plotter.XYs) {
	if r[workload] == nil {
		return nil
	}
	at := make([][]float64, 101)
	for _, s := range r[workload].Samples {
		if s.Contestant == contestant && len(s.Curve) == len(at) {
			for i, v := range s.Curve {
				at[i] = append(at[i], v/1e3)
			}
		}
	}
	for i, vs := range at {
		if len(vs) == 0 {
			return nil
		}
		points = append(points, plotter.XY{X: float64(i), Y: median(vs)})
	}
	return points
}

// fonts are those that a browser takes in place of the one that is laid out.
var fonts = strings.NewReplacer("font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;")

// save writes the plot and its legend, with a margin around them.
func (c *chart) save(path string) error {
	canvas := vgsvg.New(width, height)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Path())
	all = draw.Crop(all, margin, -margin, margin, -margin)
	beside := c.legend.Rectangle(all).Size().X * 6 / 5 // see margin
	c.Draw(draw.Crop(all, 0, -beside-margin, 0, 0))
	c.legend.Draw(draw.Crop(all, all.Size().X-beside, 0, 0, 0))
	var text bytes.Buffer
	if _, err := canvas.WriteTo(&text); err != nil {
		return fmt.Errorf("plot %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(fonts.Replace(text.String())), 0o644); err != nil { //nolint:gosec // for all to read
		return fmt.Errorf("plot: %w", err)
	}
	return nil
}
