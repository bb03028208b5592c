// What one workload of airflow-distill needs in an account: see ../README.md. The documents are passed on as they are
// printed, through the lowest constructs, because the higher ones would merge and reorder statements.
const fs = require("node:fs");
const crypto = require("node:crypto");
const cdk = require("aws-cdk-lib");
const budgets = require("aws-cdk-lib/aws-budgets");
const cloudwatch = require("aws-cdk-lib/aws-cloudwatch");
const iam = require("aws-cdk-lib/aws-iam");
const s3 = require("aws-cdk-lib/aws-s3");
const { Construct } = require("constructs");

const EXPIRES = { windows: 30, datasets: 30, evaluations: 90, jobs: 90 };

/** Return JSON with sorted keys and no spaces: equal documents give equal text. */
function canonical(value) {
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const keys = Object.keys(value).sort();
  return `{${keys.map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(",")}}`;
}

/** Return the SHA-256 of a document, as `airflow-distill iam --digests` prints it. */
function digest(document) {
  return crypto.createHash("sha256").update(canonical(document), "utf8").digest("hex");
}

/**
 * @typedef {object} DistillWorkloadProps
 * @property {string} workload name of the workload file, without .yaml
 * @property {string} iamFile path of what `airflow-distill iam --workload FILE` printed
 * @property {string} dataBucket name of the bucket that holds the workload's folder
 * @property {string} rootPrefix the part of `root` behind the bucket
 * @property {string} [logBucket] name of the bucket that receives invocation logs; left out where it exists already
 * @property {string} [customizationRoleName]
 * @property {string} [evaluationRoleName]
 * @property {string} [airflowRoleName] role of Airflow's workers and triggerer
 * @property {number} [monthlyBudgetUsd] 0 makes no budget
 * @property {string[]} [notifyEmails]
 * @property {string[]} [alarmTopicArns]
 */
class DistillWorkload extends Construct {
  /** @param {DistillWorkloadProps} props */
  constructor(scope, id, props) {
    super(scope, id);
    for (const name of ["workload", "iamFile", "dataBucket", "rootPrefix"]) {
      if (!props[name]) throw new Error(`DistillWorkload: ${name} is missing.`);
    }
    this.documents = JSON.parse(fs.readFileSync(props.iamFile, "utf8"));
    this.digests = Object.fromEntries(
      Object.entries(this.documents).map(([name, document]) => [name, digest(document)]),
    );
    cdk.Tags.of(this).add("airflow-distill:workload", props.workload);
    this._dataBucket(props);
    if (props.logBucket) this._logBucket(props);
    this._roles(props);
    this._alarms(props);
    if (props.monthlyBudgetUsd !== 0) this._budget(props);
    new cdk.CfnOutput(this, "Digests", { value: canonical(this.digests) });
  }

  _named(prefix) {
    return Object.entries(this.documents).filter(([name]) => name.startsWith(prefix));
  }

  _dataBucket(props) {
    const own = `${props.rootPrefix}/${props.workload}`;
    this.dataBucket = new s3.Bucket(this, "Data", {
      bucketName: props.dataBucket,
      versioned: true,
      encryption: s3.BucketEncryption.S3_MANAGED,
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      enforceSSL: true,
      removalPolicy: cdk.RemovalPolicy.RETAIN,
      lifecycleRules: [
        ...Object.entries(EXPIRES).map(([folder, days]) => ({
          id: folder,
          prefix: `${own}/${folder}/`,
          expiration: cdk.Duration.days(days),
        })),
        { id: "parts", abortIncompleteMultipartUploadAfter: cdk.Duration.days(7) },
      ],
    });
  }

  _logBucket(props) {
    this.logBucket = new s3.Bucket(this, "Logs", {
      bucketName: props.logBucket,
      encryption: s3.BucketEncryption.S3_MANAGED,
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      removalPolicy: cdk.RemovalPolicy.RETAIN,
    });
    new s3.CfnBucketPolicy(this, "LogDelivery", {
      bucket: this.logBucket.bucketName,
      policyDocument: this.documents["log-bucket-policy"],
    });
  }

  _roles(props) {
    const role = (kind, roleName) =>
      new iam.CfnRole(this, `${kind}Role`, {
        roleName,
        assumeRolePolicyDocument: this.documents[`${kind.toLowerCase()}-role-trust`],
        policies: this._named(`${kind.toLowerCase()}-role-policy`).map(([policyName, policyDocument]) => ({
          policyName,
          policyDocument,
        })),
      });
    this.customizationRole = role("Customization", props.customizationRoleName || "distill-customization");
    if (this.documents["evaluation-role-trust"]) {
      this.evaluationRole = role("Evaluation", props.evaluationRoleName || "distill-evaluation");
    }
    for (const [name, policyDocument] of this._named("airflow-policy")) {
      new iam.CfnManagedPolicy(this, name, {
        managedPolicyName: `${name}-${props.workload}`,
        policyDocument,
        roles: props.airflowRoleName ? [props.airflowRoleName] : undefined,
      });
    }
  }

  _alarms(props) {
    const alarm = (name, metricName, threshold, alarmDescription) =>
      new cloudwatch.CfnAlarm(this, name, {
        alarmName: `distill-${props.workload}-${name}`,
        alarmDescription,
        namespace: "AWS/Bedrock",
        metricName,
        statistic: "Sum",
        period: 3600,
        evaluationPeriods: 1,
        threshold,
        comparisonOperator: "GreaterThanThreshold",
        treatMissingData: "notBreaching",
        alarmActions: props.alarmTopicArns,
      });
    alarm(
      "log-delivery",
      "ModelInvocationLogsS3DeliveryFailure",
      0,
      "Bedrock could not deliver invocation logs to S3: the next dataset will lack them.",
    );
    alarm(
      "throttled",
      "InvocationThrottles",
      100,
      "Bedrock throttled more than 100 calls in an hour: the application or the evaluation needs a higher quota.",
    );
  }

  _budget(props) {
    const subscribers = (props.notifyEmails || []).map((address) => ({ subscriptionType: "EMAIL", address }));
    new budgets.CfnBudget(this, "Budget", {
      budget: {
        budgetName: `distill-${props.workload}`,
        budgetType: "COST",
        timeUnit: "MONTHLY",
        budgetLimit: { amount: props.monthlyBudgetUsd ?? 200, unit: "USD" },
        costFilters: { TagKeyValue: [`user:airflow-distill:workload$${props.workload}`] },
      },
      notificationsWithSubscribers: subscribers.length
        ? [
            [80, "FORECASTED"],
            [100, "ACTUAL"],
          ].map(([threshold, notificationType]) => ({
            notification: { comparisonOperator: "GREATER_THAN", notificationType, threshold, thresholdType: "PERCENTAGE" },
            subscribers,
          }))
        : undefined,
    });
  }
}

module.exports = { DistillWorkload, canonical, digest };
