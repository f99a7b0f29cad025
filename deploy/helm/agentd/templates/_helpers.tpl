{{- define "agentd.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "agentd.labels" -}}
app.kubernetes.io/name: agentd
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "agentd.selector" -}}
app.kubernetes.io/name: agentd
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Seconds of a duration such as 90s, 15m or 1h. */}}
{{- define "agentd.seconds" -}}
{{- $number := regexFind "^[0-9]+" . | int -}}
{{- $unit := regexFind "[smh]$" . -}}
{{- if eq $unit "h" }}{{ mul $number 3600 }}{{ else if eq $unit "m" }}{{ mul $number 60 }}{{ else }}{{ $number }}{{ end -}}
{{- end -}}

{{/* The key of a ConfigMap for a path: a key cannot hold "/". A hidden file is no agent. */}}
{{- define "agentd.key" -}}
{{- if contains "/" . }}.{{ . | replace "/" "__" }}{{ else }}{{ . }}{{ end -}}
{{- end -}}
