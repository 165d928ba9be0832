/* Every job runs once, with a pool and without. */
#include "check.h"

#include "base/worker.h"

struct job {
	struct worker_job job; /* first */
	unsigned runs;
	uint64_t sum;
};

static void
run(struct worker_job *j)
{
	struct job *job = (struct job *)j;

	job->runs++;
	for (uint64_t i = 0; i < 1000; i++)
		job->sum += i;
}

static void
every_job_runs_once(void **state)
{
	(void)state;
	for (int threads = 0; threads <= 8; threads += 2) {
		struct worker_pool *pool = NULL;
		struct job jobs[200] = {0};
		struct err err = {0};

		if (threads > 0)
			must(worker_pool_new(&pool, threads, &err), &err);
		assert_int_equal(worker_pool_threads(pool), threads);
		for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
			jobs[i].job.run = run;
			worker_submit(pool, &jobs[i].job);
		}
		for (size_t i = ARRAY_LEN(jobs); i-- > 0;) { /* in any order, and twice */
			worker_wait(pool, &jobs[i].job);
			worker_wait(pool, &jobs[i].job);
			assert_int_equal(jobs[i].runs, 1);
			assert_int_equal(jobs[i].sum, 499500);
		}
		worker_submit(pool, &jobs[0].job); /* a job may be given again */
		worker_wait(pool, &jobs[0].job);
		assert_int_equal(jobs[0].runs, 2);
		worker_pool_free(pool);
	}
}

static void
what_was_submitted_is_finished_before_the_pool_goes(void **state)
{
	struct worker_pool *pool = NULL;
	struct job jobs[100] = {0};
	struct err err = {0};

	(void)state;
	must(worker_pool_new(&pool, 2, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		jobs[i].job.run = run;
		worker_submit(pool, &jobs[i].job);
	}
	worker_pool_free(pool);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		assert_int_equal(jobs[i].runs, 1);
	worker_pool_free(NULL);
}

static void
threads_are_at_least_one_and_at_most_the_limit(void **state)
{
	struct worker_pool *pool = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(worker_default_threads(1), 1);
	assert_int_equal(worker_default_threads(0), 1);
	assert_int_equal(worker_default_threads(-5), 1);
	assert_true(worker_default_threads(1000) >= 1);
	must_fail(worker_pool_new(&pool, 0, &err), ERR_NOMEM, &err, "no threads");
	assert_null(pool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_job_runs_once),
	    cmocka_unit_test(what_was_submitted_is_finished_before_the_pool_goes),
	    cmocka_unit_test(threads_are_at_least_one_and_at_most_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
