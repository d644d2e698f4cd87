{{/* Subjects of JetStream's API by which one stream is looked at and made. */}}
{{- define "platform.natsStreamApi" -}}
"$JS.API.STREAM.INFO.{{ . }}", "$JS.API.STREAM.CREATE.{{ . }}"
{{- end -}}

{{/* … and by which a key-value bucket is read and watched. */}}
{{- define "platform.natsBucketRead" -}}
"$JS.API.STREAM.INFO.KV_{{ . }}", "$JS.API.STREAM.MSG.GET.KV_{{ . }}", "$JS.API.DIRECT.GET.KV_{{ . }}", "$JS.API.DIRECT.GET.KV_{{ . }}.>", "$JS.API.CONSUMER.CREATE.KV_{{ . }}", "$JS.API.CONSUMER.CREATE.KV_{{ . }}.>", "$JS.API.CONSUMER.INFO.KV_{{ . }}.>", "$JS.API.CONSUMER.DELETE.KV_{{ . }}.>", "$JS.API.CONSUMER.MSG.NEXT.KV_{{ . }}.>", "$JS.ACK.KV_{{ . }}.>", "$JS.FC.KV_{{ . }}.>"
{{- end -}}

{{/* Each service may do what it does and nothing else. */}}
{{- define "platform.natsConf" -}}
{{- $v := .Values.nats -}}
server_name: $POD_NAME
port: 4222
http_port: 8222
# Acknowledged events are carriers, the database has the truth: no need to sync each.
jetstream {
  store_dir: /data
  max_file_store: {{ $v.config.maxFileStore }}
}
authorization {
  users: [
    {
      user: finn
      password: $NATS_FINN
      permissions: {
        publish: { allow: [
          "inference.usage.finalized",
          "$JS.API.INFO",
          {{ include "platform.natsStreamApi" "INFERENCE_USAGE" }},
          {{ include "platform.natsStreamApi" "INFERENCE_USAGE_PARKED" }},
          {{ include "platform.natsBucketRead" "platform-flags" }}
        ] }
        subscribe: { allow: ["_INBOX.>"] }
      }
    }
    {
      user: freeside
      password: $NATS_FREESIDE
      permissions: {
        publish: { allow: [
          "inference.usage.parked",
          "$JS.API.INFO",
          {{ include "platform.natsStreamApi" "INFERENCE_USAGE" }},
          {{ include "platform.natsStreamApi" "INFERENCE_USAGE_PARKED" }},
          "$JS.API.CONSUMER.CREATE.INFERENCE_USAGE.>",
          "$JS.API.CONSUMER.DURABLE.CREATE.INFERENCE_USAGE.>",
          "$JS.API.CONSUMER.INFO.INFERENCE_USAGE.>",
          "$JS.API.CONSUMER.MSG.NEXT.INFERENCE_USAGE.>",
          "$JS.ACK.INFERENCE_USAGE.>",
          "$JS.FC.INFERENCE_USAGE.>",
          {{ include "platform.natsBucketRead" "platform-flags" }}
        ] }
        subscribe: { allow: ["_INBOX.>"] }
      }
    }
    {
      user: controller
      password: $NATS_CONTROLLER
      permissions: {
        publish: { allow: [
          "$KV.platform-flags.>",
          "$JS.API.INFO",
          {{ include "platform.natsStreamApi" "KV_platform-flags" }},
          "$JS.API.STREAM.UPDATE.KV_platform-flags",
          {{ include "platform.natsBucketRead" "platform-flags" }}
        ] }
        subscribe: { allow: ["_INBOX.>"] }
      }
    }
  ]
}
{{- if eq (int $v.replicas) 3 }}
cluster {
  name: {{ include "platform.name" (list . "nats") }}
  port: 6222
  # Clients reach all servers by the Service; addresses of pods would be stale soon.
  no_advertise: true
  authorization {
    user: cluster
    password: $NATS_CLUSTER
  }
  # Each a whole URL from the environment: a variable within a text isn't replaced.
  routes: [$NATS_ROUTE_0, $NATS_ROUTE_1, $NATS_ROUTE_2]
}
{{- end }}
{{- end -}}
