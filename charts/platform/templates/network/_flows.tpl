{{/*
One named flow: (dict "root" $ "name" "api-to-finn" "from" (list "freeside-api") "to" "finn" "port" 3001)
A policy at either end, since both sides deny by default.
*/}}
{{- define "platform.flow" -}}
{{- $root := .root -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "platform.name" (list $root .name) }}
  namespace: {{ $root.Release.Namespace }}
  labels:
{{ include "platform.labels" (list $root .to) | indent 4 }}
spec:
  podSelector:
    matchLabels:
{{ include "platform.selector" (list $root .to) | indent 6 }}
  policyTypes: [Ingress]
  ingress:
    - from:
{{- range .from }}
        - podSelector:
            matchLabels:
{{ include "platform.selector" (list $root .) | indent 14 }}
{{- end }}
      ports:
        - port: {{ .port }}
          protocol: TCP
{{- range .from }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "platform.name" (list $root (printf "%s-from-%s" $.name .)) }}
  namespace: {{ $root.Release.Namespace }}
  labels:
{{ include "platform.labels" (list $root .) | indent 4 }}
spec:
  podSelector:
    matchLabels:
{{ include "platform.selector" (list $root .) | indent 6 }}
  policyTypes: [Egress]
  egress:
    - to:
        - podSelector:
            matchLabels:
{{ include "platform.selector" (list $root $.to) | indent 14 }}
      ports:
        - port: {{ $.port }}
          protocol: TCP
{{- end }}
{{- end -}}

{{/* A way out of the cluster or to unnamed peers: (dict "root" $ "name" … "from" (list …) "cidrs" (list …) "except" (list …) "ports" (list …)) */}}
{{- define "platform.flowOut" -}}
{{- $root := .root -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "platform.name" (list $root .name) }}
  namespace: {{ $root.Release.Namespace }}
  labels:
{{ include "platform.labels" (list $root "network") | indent 4 }}
spec:
  podSelector:
    matchLabels:
{{ include "platform.instance" $root | indent 6 }}
    matchExpressions:
      - key: app.kubernetes.io/component
        operator: In
        values: {{ .from | toJson }}
  policyTypes: [Egress]
  egress:
    - to:
{{- if .peers }}
{{ toYaml .peers | indent 8 }}
{{- else }}
{{- range .cidrs }}
        - ipBlock:
            cidr: {{ . }}
{{- with $.except }}
            except: {{ . | toJson }}
{{- end }}
{{- end }}
{{- end }}
      ports:
{{- range .ports }}
        - port: {{ . }}
          protocol: TCP
{{- end }}
{{- end -}}
