{{/* A Service without an address of its own, by which each pod's admin port is found: (list $ "finn" 9302) */}}
{{- define "platform.adminService" -}}
{{- $root := index . 0 -}}{{- $name := index . 1 -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ include "platform.name" (list $root $name) }}-admin
  namespace: {{ $root.Release.Namespace }}
  labels:
{{ include "platform.labels" (list $root $name) | indent 4 }}
    arrakis.community/port: admin
spec:
  clusterIP: None
  selector:
{{ include "platform.selector" (list $root $name) | indent 4 }}
  ports:
    - name: admin
      port: {{ index . 2 }}
      targetPort: admin
{{- end -}}
