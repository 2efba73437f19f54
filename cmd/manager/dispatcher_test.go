package main

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"tigerflow.dev/tigerflow/api/v1alpha1"
)

const ready = "{phase: Running, conditions: [{type: Ready, status: 'True'}]}"

func TestTaskHasADispatcher(t *testing.T) {
	s := newSite(t)
	s.patchNamespace(`{"metadata":{"annotations":{"tigerflow.dev/uid":"2001","tigerflow.dev/gid":"100","tigerflow.dev/groups":"30,20"}}}`)
	s.begin()
	s.task("words", "{pod: {imagePullSecrets: [{name: registry}], nodeSelector: {disk: ssd}}}")
	pod := s.pod("tigerflow-task-words", there)
	spec := &pod.Spec
	if got := spec.SecurityContext; *got.RunAsUser != 2001 || *got.RunAsGroup != 100 || len(got.SupplementalGroups) != 2 || got.FSGroup != nil {
		t.Errorf("it runs as %+v", got)
	}
	if spec.ServiceAccountName != "tigerflow-dispatcher" || spec.RestartPolicy != corev1.RestartPolicyAlways {
		t.Errorf("it has %q and restarts %s", spec.ServiceAccountName, spec.RestartPolicy)
	}
	if len(spec.ImagePullSecrets) != 1 || spec.NodeSelector != nil {
		t.Errorf("it has the secrets %v and goes to %v", spec.ImagePullSecrets, spec.NodeSelector)
	}
	want := "--namespace=" + s.namespace + " --task=words --worker-image=worker:1 --python-image=python:1 --image-pull-policy=IfNotPresent " +
		"--uid=2001 --gid=100 --listen-address=:8080 --groups=20,30"
	if got := strings.Join(spec.Containers[0].Args, " "); got != want {
		t.Errorf("its flags are\n%s, want\n%s", got, want)
	}
	if mount := spec.Containers[0].VolumeMounts[0]; mount.MountPath != "/w" || mount.SubPath != "me" {
		t.Errorf("it mounts %+v", mount)
	}
	owner := metav1.GetControllerOf(pod)
	if owner == nil || owner.UID != s.get("words").UID || owner.BlockOwnerDeletion != nil {
		t.Errorf("it belongs to %+v", owner)
	}
	binding := &rbacv1.RoleBinding{}
	s.must(s.client.Get(t.Context(), s.key("tigerflow-dispatcher"), binding))
	s.must(s.client.Delete(t.Context(), binding))
	s.wait("the RoleBinding to be made again", func() bool {
		return s.client.Get(t.Context(), s.key("tigerflow-dispatcher"), &rbacv1.RoleBinding{}) == nil
	})
}

// What others change of the rights of dispatchers is taken back.
func TestRoleBindingIsKept(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.task("t", "{}")
	s.pod("tigerflow-task-t", there)
	binding := &rbacv1.RoleBinding{}
	s.must(s.client.Get(t.Context(), s.key("tigerflow-dispatcher"), binding))
	binding.Subjects = append(binding.Subjects, rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "eve"})
	s.must(s.client.Update(t.Context(), binding))
	s.wait("the RoleBinding to be as it was", func() bool {
		now := &rbacv1.RoleBinding{}
		return s.client.Get(t.Context(), s.key("tigerflow-dispatcher"), now) == nil && len(now.Subjects) == 1 && now.UID != binding.UID
	})
}

// The Pod goes when the Task is complete, and comes again when somebody wants it, or the spec changes.
func TestDispatcherOfACompleteTask(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.task("t", "{completeAfterIdle: 0s}")
	first := s.pod("tigerflow-task-t", there)
	s.kubelet("tigerflow-task-t", ready)
	s.report("t", v1alpha1.ReasonRunning)
	s.report("t", v1alpha1.ReasonComplete)
	s.noPod("tigerflow-task-t")
	for _, keep := range []string{`"true"`, "null"} {
		patch := `{"metadata":{"annotations":{"tigerflow.dev/keep-dispatcher":` + keep + `}}}`
		s.must(s.client.Patch(t.Context(), s.get("t"), client.RawPatch(types.MergePatchType, []byte(patch))))
		if keep == "null" {
			s.noPod("tigerflow-task-t")
		} else {
			s.pod("tigerflow-task-t", there)
		}
	}
	s.must(s.client.Patch(t.Context(), s.get("t"), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`))))
	s.pod("tigerflow-task-t", func(p *corev1.Pod) bool { return p.UID != first.UID })
}

// A Pod that its node has given up is made anew, and so is one that is out of date, and that of a Task which was deleted and
// applied again.
func TestDispatcherIsMadeAnew(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.task("t", "{}")
	last := s.pod("tigerflow-task-t", there)
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"evicted", func() { s.kubelet("tigerflow-task-t", "{phase: Failed, reason: Evicted}") }},
		{"another user", func() { s.patchNamespace(`{"metadata":{"annotations":{"tigerflow.dev/uid":"77"}}}`) }},
		{"another Task", func() {
			s.must(s.client.Delete(t.Context(), s.get("t")))
			s.wait("the end of the Task", func() bool {
				return client.IgnoreNotFound(s.client.Get(t.Context(), s.key("t"), &v1alpha1.Task{})) == nil
			})
			s.task("t", "{}")
		}},
	} {
		step.do()
		last = s.pod("tigerflow-task-t", func(p *corev1.Pod) bool { return p.UID != last.UID && p.DeletionTimestamp == nil })
		if last.Labels["app.kubernetes.io/managed-by"] != "tigerflow-manager" {
			t.Errorf("%s: the labels are %v", step.name, last.Labels)
		}
	}
}

// A Pod that belongs to nobody goes.
func TestDispatcherOfNobody(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.task("t", "{}")
	pod := s.pod("tigerflow-task-t", there)
	s.must(s.client.Patch(t.Context(), pod, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"ownerReferences":null}}`))))
	s.pod("tigerflow-task-t", func(p *corev1.Pod) bool { return p.UID != pod.UID && metav1.GetControllerOf(p) != nil })
	orphan := &corev1.Pod{ObjectMeta: s.meta("orphan")}
	orphan.Labels = pod.Labels
	orphan.Spec = pod.Spec
	s.must(s.client.Create(t.Context(), orphan))
	s.noPod("orphan")
}

// While the Pod cannot work the Task says why, and nobody else writes there.
func TestTaskTellsOfItsPod(t *testing.T) {
	s := newSite(t)
	s.begin()
	s.task("t", "{}")
	s.pod("tigerflow-task-t", there)
	s.kubelet("tigerflow-task-t", "{conditions: [{type: PodScheduled, status: 'False', reason: Unschedulable, message: no node}]}")
	s.state("t", stalled(v1alpha1.ReasonPodUnschedulable))
	s.kubelet("tigerflow-task-t", "{conditions: [{type: PodScheduled, status: 'True'}], containerStatuses: [{name: dispatcher, image: i, imageID: '', ready: false, restartCount: 0, state: {waiting: {reason: ImagePullBackOff}}}]}")
	s.state("t", stalled(v1alpha1.ReasonImageNotPulled))
	s.kubelet("tigerflow-task-t", "{phase: Running, conditions: [{type: Ready, status: 'True'}], containerStatuses: [{name: dispatcher, image: i, imageID: '', ready: true, restartCount: 0, state: {running: {}}}]}")
	s.report("t", v1alpha1.ReasonRunning)
	version := s.get("t").ResourceVersion
	s.patchNamespace(`{"metadata":{"annotations":{"unrelated":"x"}}}`) // which has all be looked at again
	s.kubelet("tigerflow-task-t", "{conditions: [{type: Ready, status: 'False', lastTransitionTime: '2020-01-01T00:00:00Z'}]}")
	s.pod("tigerflow-task-t", there)
	if got := s.get("t"); got.ResourceVersion != version {
		t.Errorf("a Task that was heard of just now has been written: %s", conditionsOf(got))
	}
}

func TestWorkspaceThatPodsCannotUse(t *testing.T) {
	for name, tt := range map[string]struct {
		volume string
		reason v1alpha1.Reason
		says   string
		mend   func(*site)
	}{
		"None": {"{path: /w}", v1alpha1.ReasonWorkspaceNotFound, "spec.workspace.volume: Pods have no files without one: apply this anew with the PersistentVolumeClaim that holds /w", nil},
		"Missing": {
			"{path: /w, volume: {persistentVolumeClaim: {claimName: late}}}", v1alpha1.ReasonWorkspaceNotFound,
			`spec.workspace.volume: there is no PersistentVolumeClaim "late" in namespace`, func(s *site) { s.claim("late", corev1.ReadWriteMany) },
		},
		"OnePod": {
			"{path: /w, volume: {persistentVolumeClaim: {claimName: own}}}", v1alpha1.ReasonWorkspaceNotShareable,
			`spec.workspace.volume: several Pods cannot write PersistentVolumeClaim "own": use one that is ReadWriteMany`, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.claim("own", corev1.ReadWriteOncePod)
			s.begin()
			s.task("t", "{workspace: "+tt.volume+"}")
			if got := readyMessage(s.state("t", stalled(tt.reason))); !strings.HasPrefix(got, tt.says) {
				t.Errorf("it says %s", got)
			}
			if tt.mend != nil {
				tt.mend(s)
				s.pod("tigerflow-task-t", there)
			} else if s.exists("tigerflow-task-t") {
				t.Error("there is a Pod")
			}
		})
	}
}

// A claim of one node has the dispatcher say so, and run where the workers can.
func TestWorkspaceOfOneNode(t *testing.T) {
	s := newSite(t)
	s.claim("disk", corev1.ReadWriteOnce)
	s.begin()
	s.task("t", "{workspace: {path: /w, volume: {persistentVolumeClaim: {claimName: disk}}}, pod: {nodeSelector: {disk: ssd}, tolerations: [{key: gpu, operator: Exists}]}}")
	pod := s.pod("tigerflow-task-t", there)
	if args := pod.Spec.Containers[0].Args; args[len(args)-1] != "--same-node" {
		t.Errorf("its flags are %v", args)
	}
	if pod.Spec.NodeSelector["disk"] != "ssd" || len(pod.Spec.Tolerations) < 3 {
		t.Errorf("it goes to %v, and bears %v", pod.Spec.NodeSelector, pod.Spec.Tolerations)
	}
}

func TestPodThatIsRefused(t *testing.T) {
	s := newSite(t)
	quota := &corev1.ResourceQuota{ObjectMeta: s.meta("none")}
	s.must(yaml.Unmarshal([]byte("{hard: {pods: '0'}}"), &quota.Spec))
	s.must(s.client.Create(t.Context(), quota))
	quota.Status = corev1.ResourceQuotaStatus{Hard: quota.Spec.Hard, Used: quota.Spec.Hard}
	s.must(s.client.Status().Update(t.Context(), quota))
	s.begin()
	s.task("t", "{}")
	if got := readyMessage(s.state("t", stalled(v1alpha1.ReasonPodRefused))); !strings.Contains(got, "quota") {
		t.Errorf("it says %s", got)
	}
	s.must(s.client.Delete(t.Context(), quota))
	s.pod("tigerflow-task-t", there)
}

// A Pod that cannot be made for now, as a webhook does not answer, is told of, and made when it can be.
func TestPodThatCannotBeMade(t *testing.T) {
	s := newSite(t)
	webhook := &unstructured.Unstructured{}
	s.must(yaml.Unmarshal([]byte(`{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: `+s.namespace+`}, webhooks: [{
		name: away.example.org, admissionReviewVersions: [v1], sideEffects: None, clientConfig: {url: 'https://127.0.0.1:1/'},
		namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: `+s.namespace+`}},
		rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods, configmaps]}]}]}`), &webhook.Object))
	s.must(s.client.Create(t.Context(), webhook))
	s.wait("the webhook to be in the way", func() bool {
		return apierrors.IsInternalError(s.client.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "x"}}))
	})
	s.begin()
	s.task("t", "{}")
	got := readyMessage(s.state("t", "Ready=False/ExecutorUnavailable Complete=False/ExecutorUnavailable Stalled=False/AsExpected Degraded=False/AsExpected"))
	if !strings.Contains(got, "failed calling webhook") {
		t.Errorf("it says %s", got)
	}
	s.must(s.client.Delete(t.Context(), webhook))
	s.pod("tigerflow-task-t", there)
}

func TestNamespaceThatSaysNoUser(t *testing.T) {
	s := newSite(t)
	s.patchNamespace(`{"metadata":{"annotations":{"tigerflow.dev/uid":"root"}}}`)
	s.begin()
	s.task("t", "{}")
	s.state("t", stalled(v1alpha1.ReasonIdentityNotSet))
	s.patchNamespace(`{"metadata":{"annotations":{"tigerflow.dev/uid":"5"}}}`)
	s.pod("tigerflow-task-t", func(p *corev1.Pod) bool { return *p.Spec.SecurityContext.RunAsUser == 5 })
}

func (s *site) patchNamespace(patch string) {
	s.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}
	s.must(s.client.Patch(s.Context(), namespace, client.RawPatch(types.MergePatchType, []byte(patch))))
}
