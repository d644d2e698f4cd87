{{/* A container of a Job: (dict "root" $ "name" "migrate" "args" (list …)) */}}
{{- define "platform.jobContainer" -}}
- name: {{ .name }}
  image: {{ include "platform.image" (list .root .root.Values.freesideApi.image) }}
  imagePullPolicy: {{ .root.Values.image.pullPolicy }}
  args:
{{ toYaml .args | indent 4 }}
  resources:
{{ toYaml .root.Values.migrations.resources | indent 4 }}
  securityContext:
{{ include "platform.containerSecurity" . | indent 4 }}
{{- end -}}

{{/* A URL of the role that owns the tables: (list $ "MIGRATE_DATABASE_URL" $url) */}}
{{- define "platform.migratorEnv" -}}
- name: DATABASE_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "platform.secret" (list (index . 0) "database") }}
      key: migrator-password
- name: {{ index . 1 }}
  value: {{ index . 2 | quote }}
{{- end -}}
