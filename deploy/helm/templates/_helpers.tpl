{{- define "tender.labels" -}}
app.kubernetes.io/name: tender
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "tender.selector" -}}
app.kubernetes.io/name: tender
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "tender.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "tender.env" -}}
- name: TENDER_KAFKA_BOOTSTRAP_SERVERS
  value: {{ required "kafka.bootstrapServers names your brokers" .Values.kafka.bootstrapServers | quote }}
- name: TENDER_TOPIC_PARTITIONS
  value: {{ .Values.kafka.topicPartitions | quote }}
- name: TENDER_TOPIC_REPLICATION
  value: {{ .Values.kafka.topicReplication | quote }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "tender.pod" -}}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  seccompProfile: { type: RuntimeDefault }
volumes:
  - name: tmp
    emptyDir: {}
{{- end }}

{{- define "tender.container" -}}
image: {{ include "tender.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
envFrom:
  - secretRef: { name: {{ .Values.existingSecret | quote }} }
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
volumeMounts:
  - { name: tmp, mountPath: /tmp }
{{- end }}
