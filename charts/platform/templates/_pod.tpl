{{/* What every pod has: (dict "root" $ "name" "finn" "values" .Values.finn "uid" 1000 "account" "…" "token" false) */}}
{{- define "platform.podSpec" -}}
{{- $root := .root -}}
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
serviceAccountName: {{ .account | default (include "platform.name" (list $root .name)) }}
automountServiceAccountToken: {{ .token | default false }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .uid }}
  runAsGroup: {{ .uid }}
  fsGroup: {{ .uid }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{/* On which nodes pods run: .Values.finn */}}
{{- define "platform.placement" -}}
{{- with .nodeSelector }}
nodeSelector:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
{{ toYaml . | indent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* … and how they spread over them: (dict "root" $ "name" "finn" "values" .Values.finn) */}}
{{- define "platform.scheduling" -}}
{{- with include "platform.placement" .values }}
{{- . | trim }}
{{ end -}}
topologySpreadConstraints:
{{- if .values.topologySpreadConstraints }}
{{ toYaml .values.topologySpreadConstraints | indent 2 }}
{{- else }}
{{- $selector := include "platform.selector" (list .root .name) }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
{{ $selector | indent 8 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What Pod Security `restricted` asks of a container, and more. */}}
{{- define "platform.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop:
    - ALL
{{- end -}}

{{/* Probes of one of our services, at its admin port: .Values.finn.probes */}}
{{- define "platform.probes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: 1
  timeoutSeconds: {{ .timeoutSeconds }}
  failureThreshold: {{ .startupSeconds }}
readinessProbe:
  httpGet:
    path: /readyz
    port: admin
  periodSeconds: {{ .periodSeconds }}
  timeoutSeconds: {{ .timeoutSeconds }}
  failureThreshold: {{ .readinessFailures }}
livenessProbe:
  httpGet:
    path: /livez
    port: admin
  periodSeconds: {{ .periodSeconds }}
  timeoutSeconds: {{ .timeoutSeconds }}
  failureThreshold: {{ .livenessFailures }}
{{- end -}}

{{/* Probes of a backend: (dict "probes" .Values.redis.probes "ready" <handler> "alive" <handler>) */}}
{{- define "platform.backendProbes" -}}
startupProbe:
{{ .alive | indent 2 }}
  periodSeconds: 1
  timeoutSeconds: {{ .probes.timeoutSeconds }}
  failureThreshold: {{ .probes.startupSeconds }}
readinessProbe:
{{ .ready | indent 2 }}
  periodSeconds: {{ .probes.periodSeconds }}
  timeoutSeconds: {{ .probes.timeoutSeconds }}
  failureThreshold: {{ .probes.readinessFailures }}
livenessProbe:
{{ .alive | indent 2 }}
  periodSeconds: {{ .probes.periodSeconds }}
  timeoutSeconds: {{ .probes.timeoutSeconds }}
  failureThreshold: {{ .probes.livenessFailures }}
{{- end -}}

{{/* How a pod ends. Past the drain the service has 10 s to close; 5 s are to spare. */}}
{{- define "platform.graceSeconds" -}}
{{- add .preStopSeconds .announceSeconds .deadlineSeconds 15 -}}
{{- end -}}

{{- define "platform.preStop" -}}
{{- if .preStopSeconds }}
lifecycle:
  preStop:
    sleep:
      seconds: {{ .preStopSeconds }}
{{- end }}
{{- end -}}

{{/* Annotations of a service's pods: (dict "root" $ "values" .Values.finn "port" 9302) */}}
{{- define "platform.podAnnotations" -}}
{{- if .root.Values.metrics.annotations }}
prometheus.io/scrape: 'true'
prometheus.io/port: {{ .port | quote }}
prometheus.io/path: /metrics
{{- end }}
{{- with .values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Restarted when a generated Secret or the chart's own configuration changes: text of any kind. */}}
{{- define "platform.checksum" -}}
checksum/config: {{ . | sha256sum | trunc 16 | quote }}
{{- end -}}

{{/*
Waits until the schema has every migration of the image: a new version then can't meet an old schema,
whoever runs the migrations and in whatever order the objects are applied.
(dict "root" $ "values" .Values.finn "env" <yaml of DATABASE_URL>)
*/}}
{{- define "platform.waitForSchema" -}}
- name: wait-for-schema
  image: {{ include "platform.image" (list .root .values.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args: [scripts/cluster/schema.ts, wait]
  env:
{{ .env | indent 4 }}
  resources:
{{ toYaml .values.resources | indent 4 }}
  securityContext:
{{ include "platform.containerSecurity" . | indent 4 }}
{{- end -}}
