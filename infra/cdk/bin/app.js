// An example stack. Context: iam (file of `airflow-distill iam`), workload, dataBucket, rootPrefix, logBucket, airflowRoleName.
//   npx cdk synth -c iam=iam.json -c workload=support_tickets -c dataBucket=acme-distill -c rootPrefix=loop
const cdk = require("aws-cdk-lib");
const { DistillWorkload } = require("../lib/distill-workload");

const app = new cdk.App();
const given = (name) => app.node.tryGetContext(name);
const stack = new cdk.Stack(app, `Distill-${(given("workload") || "workload").replace(/_/g, "-")}`);
new DistillWorkload(stack, "Workload", {
  workload: given("workload"),
  iamFile: given("iam"),
  dataBucket: given("dataBucket"),
  rootPrefix: given("rootPrefix"),
  logBucket: given("logBucket"),
  airflowRoleName: given("airflowRoleName"),
  monthlyBudgetUsd: Number(given("monthlyBudgetUsd") || 200),
  notifyEmails: (given("notifyEmails") || "").split(",").filter(Boolean),
});
