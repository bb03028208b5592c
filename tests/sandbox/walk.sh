#!/bin/sh
# The loop with nothing but `aws`: logs, job, model, evaluation, hosts, answers, retirement.
# Needs AWS_ENDPOINT_URL (or a real account), BUCKET and ROLE. Ends with "walked the loop".
set -eu

STUDENT=amazon.nova-lite-v1:0:300k
TEACHER=amazon.nova-pro-v1:0
MARK=${MARK:-walk}

say() { printf '%s\n' "== $*"; }
until_status() { # until_status WANTED QUERY COMMAND...
    wanted=$1 query=$2
    shift 2
    for _ in $(seq 1 "${TRIES:-20}"); do
        seen=$("$@" --query "$query" --output text)
        [ "$seen" = "$wanted" ] && return 0
        sleep "${PAUSE:-0}"
    done
    echo "waited for $wanted, last saw $seen" >&2
    return 1
}

say logging
aws bedrock put-model-invocation-logging-configuration \
    --logging-config "s3Config={bucketName=$BUCKET,keyPrefix=logs},textDataDeliveryEnabled=true"
aws bedrock get-model-invocation-logging-configuration --query loggingConfig.s3Config.bucketName --output text | grep -qx "$BUCKET"

say pairs
aws bedrock list-foundation-models --by-customization-type DISTILLATION \
    --query 'modelSummaries[].modelId' --output text | grep -q "$STUDENT"

say job
aws bedrock create-model-customization-job --job-name "$MARK" --custom-model-name "$MARK" --role-arn "$ROLE" \
    --customization-type DISTILLATION --base-model-identifier "$STUDENT" \
    --training-data-config "s3Uri=s3://$BUCKET/prompts.jsonl" --output-data-config "s3Uri=s3://$BUCKET/out/" \
    --customization-config "distillationConfig={teacherModelConfig={teacherModelIdentifier=$TEACHER}}" \
    --job-tags key=walk,value="$MARK" >/dev/null
until_status Completed status aws bedrock get-model-customization-job --job-identifier "$MARK"
MODEL=$(aws bedrock get-custom-model --model-identifier "$MARK" --query modelArn --output text)
aws bedrock list-tags-for-resource --resource-arn "$(aws bedrock get-model-customization-job --job-identifier "$MARK" \
    --query jobArn --output text)" --query 'tags[0].value' --output text | grep -qx "$MARK"

say twice
if aws bedrock create-model-customization-job --job-name "$MARK" --custom-model-name other --role-arn "$ROLE" \
    --customization-type DISTILLATION --base-model-identifier "$STUDENT" \
    --training-data-config "s3Uri=s3://$BUCKET/prompts.jsonl" --output-data-config "s3Uri=s3://$BUCKET/out/" \
    --customization-config "distillationConfig={teacherModelConfig={teacherModelIdentifier=$TEACHER}}" 2>refusal; then
    echo "a used name was taken again" >&2
    exit 1
fi
grep -q "The provided job name is currently in use." refusal

say throughput
PT=$(aws bedrock create-provisioned-model-throughput --provisioned-model-name "$MARK" --model-id "$MODEL" \
    --model-units 1 --query provisionedModelArn --output text)
until_status InService status aws bedrock get-provisioned-model-throughput --provisioned-model-id "$PT"

say deployment
CMD=$(aws bedrock create-custom-model-deployment --model-deployment-name "$MARK" --model-arn "$MODEL" \
    --query customModelDeploymentArn --output text)
until_status Active status aws bedrock get-custom-model-deployment --custom-model-deployment-identifier "$CMD"

say answers
for HOST in "$TEACHER" "$PT" "$CMD"; do
    aws bedrock-runtime converse --model-id "$HOST" --request-metadata app=walk \
        --messages '[{"role":"user","content":[{"text":"the screen is cracked"}]}]' \
        --query 'output.message.content[0].text' --output text | grep -qx damaged_item
done
# From a file, because versions 1 and 2 of the command line read a blob on the command line differently.
printf '%s' '{"messages":[{"role":"user","content":[{"text":"the screen is cracked"}]}]}' >question.json
aws bedrock-runtime invoke-model --model-id "$TEACHER" --body fileb://question.json answer.json >/dev/null
grep -q damaged_item answer.json

say retirement
if aws bedrock delete-custom-model --model-identifier "$MARK" 2>refusal; then
    echo "a model in use was deleted" >&2
    exit 1
fi
grep -q ConflictException refusal
aws bedrock delete-provisioned-model-throughput --provisioned-model-id "$PT"
aws bedrock delete-custom-model-deployment --custom-model-deployment-identifier "$CMD"
aws bedrock delete-custom-model --model-identifier "$MARK"
aws bedrock list-custom-models --query 'length(modelSummaries)' --output text | grep -qx 0
aws bedrock delete-model-invocation-logging-configuration

echo "walked the loop"
