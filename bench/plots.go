package main

import (
	"errors"
	"fmt"
	"image/color"
	"math"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// The colours of the plots: ours in blues, the others in warm and grey ones.
var colours = map[string]color.Color{
	fenced: color.RGBA{0x1f, 0x77, 0xb4, 0xff}, plain: color.RGBA{0x7f, 0xb8, 0xe6, 0xff},
	fenced1: color.RGBA{0x1f, 0x77, 0xb4, 0xff}, plain1: color.RGBA{0x7f, 0xb8, 0xe6, 0xff},
	redsync: color.RGBA{0xd6, 0x4a, 0x3a, 0xff}, rueidis: color.RGBA{0xe8, 0x95, 0x2f, 0xff},
	bsm: color.RGBA{0x8c, 0x6b, 0xb1, 0xff}, etcd: color.RGBA{0x4d, 0x9a, 0x5b, 0xff},
	floor: color.RGBA{0x99, 0x99, 0x99, 0xff}, bare: color.RGBA{0x55, 0x55, 0x55, 0xff},
}

const width, height = 17 * vg.Centimeter, 9 * vg.Centimeter

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
	p := plot.New()
	p.Title.Text, p.Y.Label.Text, p.Y.Min = title, unit, 0
	p.Legend.Top, p.Legend.Left = true, true
	p.NominalX(groups...)
	thick := vg.Points(240 / float64(len(groups)*len(contestants)))
	for i, c := range contestants {
		var vs plotter.Values
		for g := range groups {
			v := height0(c, g)
			if math.IsNaN(v) {
				v = 0
			}
			vs = append(vs, v)
		}
		b, err := plotter.NewBarChart(vs, thick)
		if err != nil {
			return fmt.Errorf("plot %s: %w", path, err)
		}
		b.Color, b.LineStyle.Width = colours[c], 0
		b.Offset = thick * vg.Length(float64(i)-float64(len(contestants)-1)/2)
		p.Add(b)
		p.Legend.Add(c, b)
	}
	return save(p, path)
}

// waitsPlot draws the distribution of waits: for each share of the turns, how long the wait was at
// most.
func waitsPlot(path, title string, r results, workload string, contestants []string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "percent of the turns", "waited at most, ms"
	p.X.Min, p.X.Max, p.Y.Min = 0, 100, 0
	p.Legend.Top, p.Legend.Left = true, true
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
		p.Legend.Add(c, line)
	}
	return save(p, path)
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

func save(p *plot.Plot, path string) error {
	p.BackgroundColor = color.White
	if err := p.Save(width, height, path); err != nil {
		return fmt.Errorf("plot %s: %w", path, err)
	}
	return nil
}
