export { type GradientOptions, gradients, type Segment } from "./gradients.ts";
