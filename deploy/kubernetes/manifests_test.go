package kubernetes_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/go-redlock/redlock/internal/servertest"
)

// read decodes the objects of a file strictly: an unknown or repeated field is an error.
func read(t *testing.T, file string, objects ...any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parts := bytes.Split(text, []byte("\n---\n"))
	if len(parts) != len(objects) {
		t.Fatalf("%s has %d objects, not %d", file, len(parts), len(objects))
	}
	for i, part := range parts {
		if err := yaml.UnmarshalStrict(part, objects[i]); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
}

// The manifests, decoded.
type manifests struct {
	nodes        corev1.ConfigMap
	secret       corev1.Secret
	once, doctor batchv1.CronJob
	leader       appsv1.Deployment
}

func readAll(t *testing.T) (m manifests) {
	t.Helper()
	read(t, "masters.yaml", &m.nodes, &m.secret)
	read(t, "once.yaml", &m.once)
	read(t, "leader.yaml", &m.leader)
	read(t, "doctor.yaml", &m.doctor)
	return m
}

// pods returns the pods that the manifests make.
func (m *manifests) pods() map[string]corev1.PodSpec {
	return map[string]corev1.PodSpec{
		"once":   m.once.Spec.JobTemplate.Spec.Template.Spec,
		"leader": m.leader.Spec.Template.Spec,
		"doctor": m.doctor.Spec.JobTemplate.Spec.Template.Spec,
	}
}

func TestTheManifestsAreStrictlyWhatTheAPITakes(t *testing.T) {
	t.Parallel()
	m := readAll(t)
	for kind, want := range map[string]string{
		m.nodes.APIVersion + " " + m.nodes.Kind:   "v1 ConfigMap",
		m.secret.APIVersion + " " + m.secret.Kind: "v1 Secret",
		m.once.APIVersion + " " + m.once.Kind:     "batch/v1 CronJob",
		m.doctor.APIVersion + " " + m.doctor.Kind: "batch/v1 CronJob",
		m.leader.APIVersion + " " + m.leader.Kind: "apps/v1 Deployment",
	} {
		if kind != want {
			t.Errorf("%s is no %s", kind, want)
		}
	}
	files, err := filepath.Glob("*.yaml")
	if err != nil || len(files) != 4 {
		t.Errorf("there are other files than are read: %v, %v", files, err)
	}
	if labels := m.leader.Spec.Template.Labels; !maps.Equal(m.leader.Spec.Selector.MatchLabels, labels) {
		t.Errorf("the Deployment does not select its own pods: %v", labels)
	}
	for name, pod := range m.pods() {
		for _, source := range sources(t, pod) {
			if source != "ConfigMap redlock/nodes" && source != "Secret redlock/password" && source != "ConfigMap redlock" && source != "Secret redlock" {
				t.Errorf("%s: there is no %s", name, source)
			}
		}
	}
	for _, key := range []string{m.nodes.Name + m.nodes.Data["nodes"], m.secret.Name + m.secret.StringData["password"]} {
		if !strings.HasPrefix(key, "redlock") || key == "redlock" {
			t.Errorf("the masters are not told: %q", key)
		}
	}
	hold, err := time.ParseDuration(flag(t, m.once.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Command, "--min-hold="))
	if late := time.Duration(*m.once.Spec.StartingDeadlineSeconds) * time.Second; err != nil || late >= hold {
		t.Errorf("a Job may begin %v late, and the minimum hold is %v: %v", late, hold, err)
	}
}

// sources returns the objects that a pod refers to, with the key if there is one.
func sources(t *testing.T, pod corev1.PodSpec) (all []string) {
	t.Helper()
	for _, v := range pod.Volumes {
		if mode := *v.Projected.DefaultMode; mode != 0o440 {
			t.Errorf("the files have the mode %o", mode)
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil {
				all = append(all, "ConfigMap "+s.ConfigMap.Name)
			}
			if s.Secret != nil {
				all = append(all, "Secret "+s.Secret.Name)
			}
		}
	}
	for _, e := range pod.Containers[0].Env {
		if s := e.ValueFrom.ConfigMapKeyRef; s != nil {
			all = append(all, "ConfigMap "+s.Name+"/"+s.Key)
		}
		if s := e.ValueFrom.SecretKeyRef; s != nil {
			all = append(all, "Secret "+s.Name+"/"+s.Key)
		}
	}
	return all
}

// flag returns the value of a flag in a command.
func flag(t *testing.T, command []string, name string) string {
	t.Helper()
	for _, arg := range command {
		if value, found := strings.CutPrefix(arg, name); found {
			return value
		}
	}
	t.Fatalf("%v has no %s", command, name)
	return ""
}

func TestTheHandbookHasTheJobsCommand(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "once.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := readAll(t)
	if line := strings.Join(m.pods()["once"].Containers[0].Command, " "); !strings.Contains(string(page), "\n"+line+"\n") {
		t.Errorf("docs/once.md has not this line: %s", line)
	}
}

// A cluster runs the containers of the manifests as processes.
type cluster struct {
	t        *testing.T
	dir      string
	nodes    string
	password string
	here     *strings.Replacer // replaces the containers' paths by the test's
}

// newCluster starts masters, makes the mounted files, and makes programs in place of those in the
// images: a report, and a service that runs until it is stopped. Each records that it has begun.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), password: "open sesame"}
	c.nodes = strings.Join(servertest.Start(t, 3, "--requirepass", c.password).Addrs(), "\n")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", c.path("redlock"), "./cmd/redlock")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := syscall.Mkfifo(c.path("begun"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nodes": c.nodes, "password": c.password + "\n",
		"report":  "#!/bin/sh\necho ran >>" + c.path("ran") + "\n",
		"service": "#!/bin/sh\necho >" + c.path("begun") + "\nexec sleep 1000\n",
	} {
		if err := os.WriteFile(c.path(name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	c.here = strings.NewReplacer("/usr/bin/redlock", c.path("redlock"), "/etc/redlock/", c.dir+"/", "/opt/", c.dir+"/")
	return c
}

func (c *cluster) path(name string) string { return filepath.Join(c.dir, name) }

// process returns the command of a container of a pod.
func (c *cluster) process(pod string, container corev1.Container, command []string) *exec.Cmd {
	var args []string
	env := []string{"PATH=" + os.Getenv("PATH")}
	for _, arg := range command {
		args = append(args, strings.ReplaceAll(c.here.Replace(arg), "$(POD_NAME)", pod))
	}
	for _, e := range container.Env {
		switch from := e.ValueFrom; {
		case from.FieldRef != nil && from.FieldRef.FieldPath == "metadata.name":
			env = append(env, e.Name+"="+pod)
		case from.ConfigMapKeyRef != nil:
			env = append(env, e.Name+"="+c.nodes)
		case from.SecretKeyRef != nil:
			env = append(env, e.Name+"="+c.password)
		}
	}
	p := exec.CommandContext(c.t.Context(), args[0], args[1:]...)
	p.Env = env
	return p
}

func TestTheJobRunsOnceInAllClusters(t *testing.T) {
	t.Parallel()
	m, c := readAll(t), newCluster(t)
	job := m.once.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	var punctual sync.WaitGroup
	run := func() {
		if out, err := c.process("report-1", job, job.Command).CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v: %s", err, out)
		}
	}
	for range 3 {
		punctual.Go(run)
	}
	punctual.Wait()
	run() // late
	if ran, err := os.ReadFile(c.path("ran")); err != nil || string(ran) != "ran\n" {
		t.Errorf("the job has run: %q, %v", ran, err)
	}
}

func TestOneReplicaLeadsUnderItsPodsNameAndTheNextTakesOver(t *testing.T) {
	t.Parallel()
	m, c := readAll(t), newCluster(t)
	service := m.leader.Spec.Template.Spec.Containers[0]
	probe := service.ReadinessProbe.Exec.Command
	begun, err := os.OpenFile(c.path("begun"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer begun.Close()
	replicas := make(map[string]*exec.Cmd)
	for _, pod := range []string{"leader-a", "leader-b"} {
		replicas[pod] = c.process(pod, service, service.Command)
		if err := replicas[pod].Start(); err != nil {
			t.Fatal(err)
		}
	}
	leader := func() string {
		if _, err := begun.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		out, err := c.process("probe", service, probe).Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, pod := range slices.Sorted(maps.Keys(replicas)) {
			if strings.Contains(string(out), "held by "+pod) {
				return pod
			}
		}
		t.Fatalf("no pod leads: %s", out)
		return ""
	}
	for range 2 {
		pod := leader()
		_ = replicas[pod].Process.Signal(syscall.SIGTERM)
		_ = replicas[pod].Wait()
		delete(replicas, pod)
	}
}

func TestAReplicaIsReadyWhileAMajorityAnswers(t *testing.T) {
	t.Parallel()
	m, c := readAll(t), newCluster(t)
	service := m.leader.Spec.Template.Spec.Containers[0]
	all := c.nodes
	for away, ready := range []bool{true, true, false} {
		nodes := strings.Split(all, "\n")
		for i := range away {
			nodes[i] = "127.0.0.1:" + strconv.Itoa(1+i) // nobody listens there
		}
		c.nodes = strings.Join(nodes, "\n")
		if out, err := c.process("leader-a", service, service.ReadinessProbe.Exec.Command).CombinedOutput(); (err == nil) != ready {
			t.Errorf("with %d masters away: %v: %s", away, err, out)
		}
	}
}

// The settings of the servers are not those of the handbook, so there are warnings.
func TestTheDoctorReachesTheMasters(t *testing.T) {
	t.Parallel()
	m, c := readAll(t), newCluster(t)
	doctor := m.doctor.Spec.JobTemplate.Spec.Template.Spec.Containers[0]
	command := append([]string{"/usr/bin/redlock"}, doctor.Command[1:]...)
	p := c.process("doctor", doctor, command)
	out, _ := p.CombinedOutput()
	if p.ProcessState.ExitCode() != 1 || strings.Contains(string(out), "ERROR") {
		t.Errorf("%v: %s", p.ProcessState, out)
	}
}
