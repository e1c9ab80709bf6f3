package main

import (
	"slices"
	"strings"
)

// row is one fault and the tests that hold what the node promises under it.
type row struct {
	number int
	name   string
	tests  []tests
}

// tests are some of one package.
type tests struct {
	pkg   string // below the module
	names []string
}

// tagged is how the names of the tests begin that carry the build tag faults: make test does
// not run them.
const tagged = "TestFault"

// tooLong are those that the short form leaves out all the same.
var tooLong = []string{"TestFaultClockJumps"} // builds the standard library anew

// inShort is the row's part in the short form: what make test does not run.
func (r row) inShort() row {
	var kept []tests
	for _, t := range r.tests {
		t.names = slices.DeleteFunc(slices.Clone(t.names), func(name string) bool { return !strings.HasPrefix(name, tagged) || slices.Contains(tooLong, name) })
		if len(t.names) > 0 {
			kept = append(kept, t)
		}
	}
	r.tests = kept
	return r
}

// rows are the faults, by the numbers that issues and SECURITY.md call them by. A
// number without a row has no test yet.
var rows = []row{
	{1, "steady load", []tests{{"cmd/bizra-top", []string{"TestFaultSteadyLoad"}}}},
	{2, "three times the capacity", []tests{{"cmd/bizra-top", []string{"TestFaultOverload"}}}},
	{3, "one provider of several fails", []tests{
		{"node/upstream", []string{"TestOneProviderOfTwoFails", "TestAProviderThatFlapsComesBack", "TestHedgingLowersTheTail"}},
		{"node/api", []string{"TestOneHungProviderIsNotNoticed"}}}},
	{4, "eight toxics before providers, PostgreSQL, Redis", []tests{{"cmd/bizra-top", []string{"TestFaultToxics"}}}},
	{5, "all providers are down", []tests{
		{"node/api", []string{"TestOpenBreakersAnswerAtOnce", "TestImmutableAnswersOutliveTheProviders"}},
		{"node/upstream", []string{"TestASingleProviderFails"}}}},
	{6, "half of all calls fail", []tests{
		{"node/upstream", []string{"TestTheBudgetIsWaitedForAndNeverOverspent"}},
		{"node/api", []string{"TestFaultHalfOfAllCallsFail"}}}},
	{7, "kill -9 under writes", []tests{{"cmd/bizra-top", []string{"TestKilledNodesLoseNoAnsweredVerdict", "TestFaultKilledTwoHundredTimes"}}}},
	{8, "database backends are terminated", []tests{{"node/store", []string{"TestTerminatedConnectionsLoseNothing"}}}},
	{9, "all database connections are held", []tests{
		{"node/store", []string{"TestAServerWithoutFreeConnections"}},
		{"node/pool", []string{"TestDeadlinesWhileOthersHoldEveryConnection"}},
		{"cmd/bizra-top", []string{"TestCachedReadsGoOnWhileEveryConnectionIsHeld"}}}},
	{10, "Redis hangs, dies, comes back", []tests{{"node/cache", []string{"TestRedisInTroubleCostsOnlyHits", "TestRedisGoneCostsOnlyHits"}}}},
	{11, "cancelled calls", []tests{{"node/upstream", []string{"TestCancelledCalls"}}}},
	{12, "corrupt values in L2", []tests{{"node/cache", []string{"TestCorruptValuesAreMisses", "TestTenThousandCorruptValues"}}}},
	{13, "stampede", []tests{
		{"node/cache", []string{"TestStampedeMakesOneLoad"}},
		{"node/api", []string{"TestIdenticalColdRequestsBecomeOne", "TestIdenticalColdVerdictsBecomeOne"}}}},
	{14, "the clock jumps", []tests{
		{"node/cache", []string{"TestAnEntryFromTheFutureLivesNoLonger"}},
		{"node/validation", []string{"TestABlockAheadOfTheClockIsUndecided"}},
		{"probes", []string{"TestTheHistoryGoesOnBehindAClockThatWasSetBack"}},
		{"cmd/bizra-top", []string{"TestFaultClockJumps"}}}},
	{15, "the disk is full: ledger, outbox, history, audit", []tests{
		{"node/store", []string{"TestAFullDiskRefusesWritesAndReadsGoOn", "TestAFullOutboxRefusesWrites", "TestAFullDiskOfPostgres"}},
		{"probes", []string{"TestSamplingStopsBeforeTheDiskIsFull"}},
		{"node/control", []string{"TestAFullDiskOfTheTrailIsToldAndStopsNothing"}},
		{"node/audit", []string{"TestEntriesThatCannotWaitAreCounted", "TestTheTrailGoesOnAfterAFullDisk"}}}},
	{16, "slowloris", []tests{{"node/api", []string{"TestFaultSlowloris"}}}},
	{17, "hostile bodies are refused", []tests{
		{"node/api", []string{"TestBadInputOfTheGateway"}},
		{"cmd/bizra-top", []string{"TestFaultHostileBodies"}}}},
	{18, "providers that answer anything else", []tests{
		{"node/upstream", []string{"TestADeepAnswerIsRefused", "TestAnswersThatAreNoneAreRefused"}},
		{"node/api", []string{"TestProvidersThatServeWebPages", "TestSecretsOfProvidersAppearNowhere"}}}},
	{19, "a reorganisation of twelve blocks while serving", []tests{{"node/api", []string{"TestFaultDeepReorg"}}}},
	{20, "broken files", []tests{{"cmd/bizra-top", []string{"TestFaultBrokenFiles"}}}},
	{21, "handover under load", []tests{{"cmd/bizra-top", []string{"TestAHandoverLosesNoRequest"}}}},
	{22, "silent connections, few descriptors", []tests{
		{"node/connections", []string{"TestSilentConnectionsDriveOutEachOther", "TestAConnectionTooManyIsRefusedInWords", "TestAnAddressHasItsShare"}},
		{"cmd/bizra-top", []string{"TestFaultSilentConnections"}}}},
	{23, "no descriptors, no inodes", []tests{
		{"probes", []string{"TestAHistoryWithoutDescriptorsStopsAndStartsAgain", "TestAHistoryWithoutInodesStopsAndStartsAgain"}},
		{"node/files", []string{"TestAStateFileIsWrittenWithoutDescriptors"}},
		{"cmd/bizra-top", []string{"TestFaultOutOfInodes"}}}},
	{24, "large batches", []tests{
		{"node/api", []string{"TestABatchOfLargeAnswersHasABound"}},
		{"cmd/bizra-top", []string{"TestFaultLargeBatches"}}}},
	{25, "readers that stand still", []tests{
		{"node/connections", []string{"TestWritingHasALeastRate"}},
		{"node/api", []string{"TestUnreadAnswersHaveABoundTogether", "TestClientsThatDoNotReadHoldNoPlace"}},
		{"cmd/bizra-top", []string{"TestFaultReadersThatStandStill"}}}},
	{26, "abandoned reads", []tests{
		{"node/cache", []string{"TestAbandonedReadsLeaveNoLoad", "TestLoadsHaveABound"}},
		{"cmd/bizra-top", []string{"TestFaultAbandonedReads"}}}},
	{27, "the ledger is scanned", []tests{
		{"node/store", []string{"TestSQLiteUsesItsIndexes", "TestPostgresUsesItsIndexes"}},
		{"cmd/bizra-top", []string{"TestFaultLedgerScans"}}}},
	{28, "forged values in Redis", []tests{
		{"node/cache", []string{"TestForgedValuesInRedisAreNotTaken", "TestWithoutASecretOnlyProofCounts"}},
		{"cmd/bizra-top", []string{"TestFaultForgedRedis"}}}},
	{29, "the state folder is removed", []tests{
		{"node/store", []string{"TestRemovedFilesAreNoticedWithoutWrites", "TestVerdictsAreRefusedWhileTheirFilesCannotBeMade"}},
		{"cmd/bizra-top", []string{"TestFaultRemovedStateFolder"}}}},
	{30, "the database turns read-only", []tests{
		{"node/store", []string{"TestStatementsThatFailAreKnown"}},
		{"cmd/bizra-top", []string{"TestFaultReadOnlyDatabase"}}}},
}
