{{/*
The frame of a Job that an operator starts: a CronJob that never runs by itself, as the template from
which `kubectl create job --from=cronjob/…` makes one as often as it likes.
(dict "root" $ "name" "gonogo" "values" .Values.gonogo "uid" 1000 "token" true "containers" <yaml>)
*/}}
{{- define "platform.onDemandJob" -}}
{{- $root := .root -}}
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {{ include "platform.name" (list $root .name) }}
  namespace: {{ $root.Release.Namespace }}
  labels:
{{ include "platform.labels" (list $root .name) | indent 4 }}
spec:
  # Suspended: the time is asked for, but never comes.
  suspend: true
  schedule: '0 0 1 1 *'
  concurrencyPolicy: Forbid
  # The log of a Job is its result, so a few stay.
  successfulJobsHistoryLimit: 5
  failedJobsHistoryLimit: 5
  jobTemplate:
    metadata:
      labels:
{{ include "platform.podLabels" (list $root .name) | indent 8 }}
    spec:
      # Once: a second try would hide what the first one found.
      backoffLimit: 0
      activeDeadlineSeconds: {{ .values.deadlineSeconds }}
      template:
        metadata:
          labels:
{{- with .values.podLabels }}
{{ toYaml . | indent 12 }}
{{- end }}
{{ include "platform.podLabels" (list $root .name) | indent 12 }}
{{- with .values.podAnnotations }}
          annotations:
{{ toYaml . | indent 12 }}
{{- end }}
        spec:
          restartPolicy: Never
{{ include "platform.podSpec" (dict "root" $root "name" .name "uid" .uid "token" .token) | indent 10 }}
{{- with include "platform.placement" .values }}
{{ . | trim | indent 10 }}
{{- end }}
{{ .containers | indent 10 }}
{{- end -}}
