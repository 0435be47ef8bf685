/* The one program: dispatches to deploy/verb/. */
int main(void)
{
    return 2;
}
