/*-------------------------------------------------------------------------
 *
 * handler.c
 *	  Functions of the caller's that do the work.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "handler.h"

void
report_bad_handler(const char *problem, const char *signature)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("handler %s", problem),
			 errdetail("A handler is a function %s.", signature),
			 errhint("Pass its name with the type of its argument, as \\df shows them.")));
}

Oid
handler_argument(FunctionCallInfo fcinfo, int n, const char *signature)
{
	if (PG_ARGISNULL(n))
		report_bad_handler("must not be null", signature);
	return PG_GETARG_OID(n);
}

/* Checks that a handler is a plain function of that argument. */
static void
check_signature(Oid handler, Oid argument, const char *signature)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(handler));
	Form_pg_proc proc;

	if (!HeapTupleIsValid(tuple))
		report_bad_handler("does not exist", signature);
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prokind != PROKIND_FUNCTION || proc->proretset)
		report_bad_handler("is not a plain function", signature);
	if (proc->pronargs != 1 || proc->proargtypes.values[0] != argument)
		report_bad_handler("does not take the right argument", signature);
	ReleaseSysCache(tuple);
}

void
check_handler(Oid handler, Oid argument, const char *signature)
{
	AclResult	result;

	check_signature(handler, argument, signature);
	result = object_aclcheck(ProcedureRelationId, handler, GetUserId(),
							 ACL_EXECUTE);
	if (result != ACLCHECK_OK)
		aclcheck_error(result, OBJECT_FUNCTION, get_func_name(handler));
}

bool
call_handler(Oid handler, Datum argument, bool isnull, Datum *result)
{
	LOCAL_FCINFO(call, 1);
	FmgrInfo	function;

	InvokeFunctionExecuteHook(handler);
	fmgr_info(handler, &function);
	InitFunctionCallInfoData(*call, &function, 1, InvalidOid, NULL, NULL);
	call->args[0].value = argument;
	call->args[0].isnull = isnull;
	if (isnull && function.fn_strict)
		return false;

	*result = FunctionCallInvoke(call);
	return !call->isnull;
}
