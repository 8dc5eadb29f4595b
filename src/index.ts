// attune as a library: what may be imported from "attune".
export { UserError } from "./util/errors.ts";
