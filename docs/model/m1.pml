/* M1 check code. attempts 0 (owner), 1 (other); codes: 0 wrong, 1 bound to att 0, 2 bound to att 1, 3 app code (unbound)
   V = value claimed under used/...: as written the request's own; FIX_BURN: the attempt's id               */
#ifndef LU
#define LU 4
#endif
#ifndef LA
#define LA 3
#endif
#ifndef POSTS
#define POSTS 1
#endif
#ifndef NW
#define NW 3
#endif
#ifdef FIX_BURN
#define V (att+1)
#else
#define V (req+1)
#endif
#ifdef FIX_BURN
#define other() (used[3]!=1)
#else
#define other() (((used[3]-1)&3)/2!=0)
#endif
byte used[4], grant[2], cu, ca[2], rec[10];
byte open_u, open_a[2], evals, ncause[4], first[2], app0, fin, pburnt[4];
bool got[2];
#ifdef TRYING
byte trying[2]; /* one evaluation of an attempt at a time: a claim that ends by itself, at any moment */
#define LET if :: trying[att]==me+1 -> trying[att]=0 :: else fi
#else
#define LET skip
#endif
#define CR2 if :: true :: me<9 -> printf("  w%d CRASH\n",me); goto dead fi
#ifdef RESPLOST
#define CR skip
#else
#define CR CR2
#endif
#ifdef MUT_GB
#define GBC(q) (rec[q]>=1)
#else
#define GBC(q) (rec[q]==1)
#endif
inline gb(q) { if :: GBC(q) -> if :: cu>0 -> cu-- :: else fi; if :: ca[(q&3)/2]>0 -> ca[(q&3)/2]-- :: else fi; rec[q]=2 :: else fi }
inline spend() { if :: cu<LU && ca[att]<LA -> cu++; ca[att]++; rec[req]=1; printf("w%d spend\n",me) :: else -> printf("w%d LIMIT\n",me); goto dead fi }
inline clientcheck() { ok = (code==att+1 || code==3) && !pburnt[code];
   open_u++; open_a[att]++; printf("w%d att%d code%d check -> %d\n",me,att,code,ok);
#ifdef LITERAL4
   evals++; assert(evals<=LU);
#endif
   assert(open_u<=LU && open_a[att]<=LA);                       /* inv 4 */
   if :: ok && att==0 -> app0=code :: else fi;
#ifdef BURNS
   if :: ok -> pburnt[code]=1 :: else fi
#endif
 }
inline burn() { if :: used[code]==0 -> used[code]=V; won=true :: else -> won=false fi; r=used[code]; printf("w%d claim used/%d -> %d\n",me,code,r);
#ifdef MUT_SETNX
   if :: true :: won=false fi; /* reply lost, SET NX repeated by the library */
   if :: won -> r=V :: else -> r=99 fi; won=false
#else
   won=false
#endif
 }
inline claimgrant() { if :: grant[att]==0 -> grant[att]=req+1; ncause[code]++; assert(ncause[code]<=1) /* inv 2 */; assert(code==3 || code==att+1) /* inv 3 */
   :: else fi; p=grant[att]; printf("w%d claim grant%d -> %d\n",me,att,p) }
inline body() {
  atomic { if :: grant[att]!=0 -> p=grant[att]; goto sign :: else fi };
#ifdef TRYING
  atomic { if :: trying[att]==0 -> trying[att]=me+1
    :: trying[att]!=0 && me!=9 -> printf("w%d joins\n",me); goto dead
    :: trying[att]!=0 -> trying[att]=me+1 /* the claim has ended */ fi; CR };
#endif
#ifndef MUT_SPEND_LATE
  atomic { spend(); CR };
#endif
#ifdef FIX_SKIP
  atomic { if :: used[code]==V -> open_u++; open_a[att]++; goto burnt :: else fi };
#endif
  atomic { clientcheck();
#ifndef MUT_SPEND_LATE
  if :: !ok -> ok=false; goto wrong :: else ok=false fi;
#endif
#ifndef NOCRASH_CHECK
  CR
#endif
  };
#ifdef MUT_SPEND_LATE
  atomic { spend(); if :: !ok -> goto wrong :: else fi };
#endif
#ifdef MUT_GRANT_FIRST
  atomic { claimgrant(); CR };
#endif
  atomic { burn();
  if :: r!=V ->
#ifdef MSG
     assert(!(att==0 && code==3 && !other()));  /* our own earlier burn is shown as a wrong code */
#endif
     goto wrong :: else fi; r=0; CR };
burnt:
#ifndef MUT_GRANT_FIRST
  atomic { claimgrant(); CR2 };
#endif
  atomic { gb(req); open_u--; open_a[att]--; CR2 };
sign: atomic {
#ifdef MUT_SIGN_MINE
  p=req+1;
#endif
  printf("w%d signs pass %d for att%d\n",me,p,att);
  if :: first[att]==0 -> first[att]=p :: else -> assert(first[att]==p) fi; /* one pass id per attempt */
  if :: att==0 -> got[0]=true :: else fi; LET; goto dead };
wrong: atomic { printf("w%d says WRONG\n",me); LET };
dead: atomic { r=0; p=0; ok=false }
}
proctype Worker(byte me; byte att) { byte code, r, p, req; bool ok, won; byte n;
again: atomic { req=(att*2+(me&1))+4*n; n++; if :: code=0 :: code=att+1 :: code=3 
#ifdef OTHERS
  :: code=2-att
#endif
  fi };
  body();
  atomic { if :: n<POSTS -> goto again :: else fi; fin++; code=0; req=0; n=0 } }
proctype Net() { byte k; do :: k<2 -> atomic { k++; if :: rec[0]==2 -> gb(0) :: rec[1]==2 -> gb(1) :: rec[2]==2 -> gb(2) :: rec[3]==2 -> gb(3) fi } :: break od; k=0 }
#ifdef LIVE
proctype Back() { byte code, r, p, req; bool ok, won; byte me=9; byte att=0; req=9;
  fin==NW; if :: app0==0 || cu>=LU || ca[0]>=LA -> goto end :: else fi; code=app0;
  if :: used[code]!=0 && code==3 && other() -> goto end :: else fi;
  body();
  assert(got[0]);                                   /* the liveness sentence */
end: skip }
#endif
init { atomic { run Worker(0,0); run Worker(1,0); run Worker(2,1); 
#if NW>3
run Worker(3,1);
#endif

#ifdef NET
 run Net();
#endif
#ifdef LIVE
 run Back()
#endif
 } }
