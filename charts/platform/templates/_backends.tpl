{{/* Where the backends are. Passwords come in by `$(NAME)`, which the kubelet replaces. */}}

{{- define "platform.postgresHost" -}}
{{- if .Values.postgresql.enabled -}}
{{ include "platform.name" (list . "postgres") }}
{{- else -}}
{{ required "external.postgresql.host: where PostgreSQL is, unless postgresql.enabled" .Values.external.postgresql.host }}
{{- end -}}
{{- end -}}

{{- define "platform.postgresPort" -}}
{{- ternary 5432 (int .Values.external.postgresql.port) .Values.postgresql.enabled -}}
{{- end -}}

{{/* Query part of URLs that lead to the server itself. */}}
{{- define "platform.postgresParameters" -}}
{{- if and (not .Values.postgresql.enabled) .Values.external.postgresql.parameters -}}
?{{ .Values.external.postgresql.parameters }}
{{- end -}}
{{- end -}}

{{/* A URL past PgBouncer, for what needs its own session: (list $ "migrator" "arrakis") */}}
{{- define "platform.directUrl" -}}
{{- $root := index . 0 -}}
postgres://{{ index . 1 }}:$(DATABASE_PASSWORD)@{{ include "platform.postgresHost" $root }}:{{ include "platform.postgresPort" $root }}/{{ index . 2 }}{{ include "platform.postgresParameters" $root }}
{{- end -}}

{{/* A service's URL: (list $ "loa_finn_ro" "arrakis_finn"), the last being PgBouncer's name of the pool */}}
{{- define "platform.databaseUrl" -}}
{{- $root := index . 0 -}}
{{- if $root.Values.pgbouncer.enabled -}}
postgres://{{ index . 1 }}:$(DATABASE_PASSWORD)@{{ include "platform.name" (list $root "pgbouncer") }}:6432/{{ index . 2 }}
{{- else -}}
{{ include "platform.directUrl" (list $root (index . 1) $root.Values.external.postgresql.database) }}
{{- end -}}
{{- end -}}

{{/* DATABASE_URL and what it is put together from: (list $ "freeside_app" "freeside-app-password" "arrakis") */}}
{{- define "platform.databaseEnv" -}}
{{- $root := index . 0 -}}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "platform.secret" (list $root "database") }}
      key: {{ index . 2 }}
- name: DATABASE_URL
  value: {{ include "platform.databaseUrl" (list $root (index . 1) (index . 3)) | quote }}
{{- end -}}

{{- define "platform.redisEnv" -}}
- name: REDIS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "platform.secret" (list . "redis") }}
      key: password
- name: REDIS_URL
{{- if .Values.redis.enabled }}
  value: redis://:$(REDIS_PASSWORD)@{{ include "platform.name" (list . "redis") }}:6379
{{- else }}
  value: redis{{ if .Values.external.redis.tls }}s{{ end }}://:$(REDIS_PASSWORD)@{{ required "external.redis.host: where Redis is, unless redis.enabled" .Values.external.redis.host }}:{{ .Values.external.redis.port }}
{{- end }}
{{- end -}}

{{/* NATS_URL of one user: (list $ "finn") */}}
{{- define "platform.natsEnv" -}}
{{- $root := index . 0 -}}{{- $user := index . 1 -}}
- name: NATS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "platform.secret" (list $root "nats") }}
      key: {{ $user }}-password
- name: NATS_URL
{{- if $root.Values.nats.enabled }}
  value: nats://{{ $user }}:$(NATS_PASSWORD)@{{ include "platform.name" (list $root "nats") }}:4222
{{- else }}
  value: {{ ternary "tls" "nats" $root.Values.external.nats.tls }}://{{ $user }}:$(NATS_PASSWORD)@{{ required "external.nats.host: where NATS is, unless nats.enabled" $root.Values.external.nats.host }}:{{ $root.Values.external.nats.port }}
{{- end }}
- name: NATS_STREAM_REPLICAS
  value: {{ ternary $root.Values.nats.replicas $root.Values.external.nats.streamReplicas $root.Values.nats.enabled | quote }}
{{- end -}}

{{/* What sells credits: nothing where no Secret is named. Both roles of freeside ask the vendor. */}}
{{- define "platform.paymentsEnv" -}}
{{- with .Values.secrets.payments -}}
- name: NOWPAYMENTS_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: api-key
- name: NOWPAYMENTS_IPN_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: ipn-secret
- name: NOWPAYMENTS_BASE_URL
  value: {{ $.Values.payments.baseUrl | quote }}
- name: FREESIDE_PUBLIC_URL
  value: {{ include "platform.publicUrl" $ | quote }}
{{- end -}}
{{- end -}}

{{/* Signs in for the vendor's list of payments: the worker's alone, and only where it is in the Secret. */}}
{{- define "platform.paymentAccountEnv" -}}
{{- with .Values.secrets.payments -}}
- name: NOWPAYMENTS_EMAIL
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: email
      optional: true
- name: NOWPAYMENTS_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ . }}
      key: password
      optional: true
{{- end -}}
{{- end -}}

{{- define "platform.publicUrl" -}}
{{- if .Values.payments.publicUrl -}}
{{ .Values.payments.publicUrl }}
{{- else if .Values.ingress.enabled -}}
https://{{ .Values.ingress.host }}
{{- else if .Values.httpRoute.enabled -}}
https://{{ first .Values.httpRoute.hostnames }}
{{- else -}}
{{- fail "payments.publicUrl: say where the internet reaches the api, for the vendor reports to it (or enable ingress or httpRoute)" -}}
{{- end -}}
{{- end -}}

{{/* Name of the Secret with the key of the audit trail; nothing where it is not signed. */}}
{{- define "platform.auditSecret" -}}
{{- if .Values.secrets.audit -}}
{{ .Values.secrets.audit }}
{{- else if .Values.secrets.generate -}}
{{ include "platform.name" (list . "audit") }}
{{- end -}}
{{- end -}}

{{/* Variables that every service of ours reads. */}}
{{- define "platform.commonEnv" -}}
- name: NODE_ENV
  value: {{ .Values.environment }}
- name: LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- if .Values.tracing.endpoint }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .Values.tracing.endpoint | quote }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .Values.tracing.sampleRatio | quote }}
{{- end }}
{{- end -}}

{{/* How a service ends, and its flags' directory: .Values.finn.drain */}}
{{- define "platform.drainEnv" -}}
- name: DRAIN_ANNOUNCE_MS
  value: {{ mul .announceSeconds 1000 | quote }}
- name: DRAIN_DEADLINE_MS
  value: {{ mul .deadlineSeconds 1000 | quote }}
{{- end -}}
