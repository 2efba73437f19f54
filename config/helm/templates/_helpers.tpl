{{- define "tigerflow.labels" -}}
app.kubernetes.io/part-of: tigerflow
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "tigerflow.selector" -}}
app.kubernetes.io/name: tigerflow-manager
{{- end -}}

{{- /* An image by its name: include "tigerflow.image" (list . "worker"). */ -}}
{{- define "tigerflow.image" -}}
{{- $ := index . 0 -}}
{{ $.Values.image.repository }}/{{ index . 1 }}:{{ $.Values.image.tag | default $.Chart.AppVersion }}
{{- end -}}

{{- /* Quantities as kubectl takes them: cpu=20m,memory=64Mi. */ -}}
{{- define "tigerflow.quantities" -}}
{{- $list := list -}}
{{- range $name, $value := . -}}{{- $list = append $list (printf "%s=%v" $name $value) -}}{{- end -}}
{{- join "," $list -}}
{{- end -}}
