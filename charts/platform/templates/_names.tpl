{{/* Prefix of all names: the release's name. */}}
{{- define "platform.fullname" -}}
{{- .Values.fullnameOverride | default .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* "platform.name" (list $ "finn") → arrakis-finn */}}
{{- define "platform.name" -}}
{{- $root := index . 0 -}}{{- printf "%s-%s" (include "platform.fullname" $root) (index . 1) -}}
{{- end -}}

{{/* Labels that never change: (list $ "finn") */}}
{{- define "platform.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ $root.Values.nameOverride | default "arrakis" }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* All labels: (list $ "finn") */}}
{{- define "platform.labels" -}}
{{- $root := index . 0 -}}
{{ include "platform.selector" . }}
app.kubernetes.io/part-of: arrakis
app.kubernetes.io/version: {{ $root.Values.image.tag | default $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
{{- end -}}

{{/* Labels of pods: without the version, or an upgrade of the platform would restart its backends too. */}}
{{- define "platform.podLabels" -}}
{{ include "platform.selector" . }}
app.kubernetes.io/part-of: arrakis
{{- end -}}

{{/* Labels without a component: for what belongs to the whole platform. */}}
{{- define "platform.instance" -}}
app.kubernetes.io/name: {{ .Values.nameOverride | default "arrakis" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The platform's image, or a component's own: (list $ .Values.finn.image) */}}
{{- define "platform.image" -}}
{{- $root := index . 0 -}}{{- $own := index . 1 -}}
{{- $repository := $own.repository | default $root.Values.image.repository -}}
{{- $isOurs := eq $own.repository "" -}}
{{- $digest := $own.digest | default (ternary $root.Values.image.digest "" $isOurs) -}}
{{- $tag := $own.tag | default (ternary ($root.Values.image.tag | default $root.Chart.AppVersion) "" $isOurs) -}}
{{- if $digest -}}
{{ $repository }}@{{ $digest }}
{{- else if $tag -}}
{{ $repository }}:{{ $tag }}
{{- else -}}
{{- fail (printf "image %s has neither tag nor digest" $repository) -}}
{{- end -}}
{{- end -}}

{{/* Name of a Secret that the values name or, for trying out, the chart makes: (list $ "database") */}}
{{- define "platform.secret" -}}
{{- $root := index . 0 -}}{{- $key := index . 1 -}}
{{- $given := index $root.Values.secrets $key -}}
{{- if $given -}}
{{ $given }}
{{- else if $root.Values.secrets.generate -}}
{{ include "platform.name" (list $root $key) }}
{{- else -}}
{{- fail (printf "secrets.%s: name the Secret (or, for trying out, set secrets.generate)" $key) -}}
{{- end -}}
{{- end -}}

{{/* Name of the Secret with the demo community's key. */}}
{{- define "platform.demoSecret" -}}
{{- if .Values.demo.existingSecret -}}
{{ .Values.demo.existingSecret }}
{{- else if .Values.secrets.generate -}}
{{ include "platform.name" (list . "demo-key") }}
{{- else -}}
{{- fail "demo.existingSecret: name the Secret with the demo key (or, for trying out, set secrets.generate)" -}}
{{- end -}}
{{- end -}}

{{/* Name of the Secret with the key that the gates ask with. */}}
{{- define "platform.gonogoSecret" -}}
{{- if .Values.gonogo.apiKeySecret -}}
{{ .Values.gonogo.apiKeySecret }}
{{- else if .Values.demo.enabled -}}
{{ include "platform.demoSecret" . }}
{{- else -}}
{{- fail "gonogo.apiKeySecret: name the Secret with an API key of a test community, for the gates ask and pay with it" -}}
{{- end -}}
{{- end -}}

{{/* Whether the chart makes the load's key, and the seed its community. */}}
{{- define "platform.makesLoadKey" -}}
{{- if and .Values.load.enabled .Values.demo.enabled .Values.secrets.generate (not .Values.load.apiKeySecret) -}}yes{{- end -}}
{{- end -}}

{{/* Name of the Secret with the key that the load asks with. */}}
{{- define "platform.loadSecret" -}}
{{- if .Values.load.apiKeySecret -}}
{{ .Values.load.apiKeySecret }}
{{- else if include "platform.makesLoadKey" . -}}
{{ include "platform.name" (list . "load-key") }}
{{- else -}}
{{- fail "load.apiKeySecret: name the Secret with an API key of a community of its own (one is made only with demo.enabled and secrets.generate)" -}}
{{- end -}}
{{- end -}}

{{/* Deployments and StatefulSets of the release, as JSON lists of their full names. */}}
{{- define "platform.deployments" -}}
{{- $names := list "freeside-api" "freeside-worker" -}}
{{- if .Values.controller.enabled -}}{{- $names = append $names "controller" -}}{{- end -}}
{{- if .Values.pgbouncer.enabled -}}{{- $names = append $names "pgbouncer" -}}{{- end -}}
{{- include "platform.fullNames" (list . $names) -}}
{{- end -}}

{{- define "platform.statefulSets" -}}
{{- $names := list "finn" -}}
{{- if .Values.postgresql.enabled -}}{{- $names = append $names "postgres" -}}{{- end -}}
{{- if .Values.redis.enabled -}}{{- $names = append $names "redis" -}}{{- end -}}
{{- if .Values.nats.enabled -}}{{- $names = append $names "nats" -}}{{- end -}}
{{- include "platform.fullNames" (list . $names) -}}
{{- end -}}

{{- define "platform.fullNames" -}}
{{- $root := index . 0 -}}{{- $full := list -}}
{{- range index . 1 -}}{{- $full = append $full (include "platform.name" (list $root .)) -}}{{- end -}}
{{- $full | toJson -}}
{{- end -}}
